//===- Occupancy.h - how far a kernel's CTAs fill a GPU ---------*- C++ -*-===//
//
// Computed from what the assembler counted and what NVIDIA publishes of each compute capability
// (CUDA C++ Programming Guide, "Compute Capabilities"): no GPU is asked.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/abi/Manifest.h"

#include <cstdint>
#include <string_view>

namespace sinter {

struct Occupancy {
  uint32_t ctasPerSm = 0; ///< CTAs that can be resident at a time; 0: not known, or none
  double warps = 0;       ///< share of the warps that a multiprocessor can hold, 0 to 1
};

/// On a multiprocessor of `isa` ("sm_90a"). Not known where no assembler counted registers and for
/// other levels.
Occupancy occupancyOf(const KernelPlan &kernel, std::string_view isa);

/// Share of the multiprocessors that a launch of `ctas` CTAs gives work, the mean of its rounds; of
/// the chip that the level is named after (A100, RTX 3090, RTX 4090, H100 or H200). 0: not known.
double busyMultiprocessors(uint32_t ctas, const Occupancy &occupancy, std::string_view isa);

} // namespace sinter
