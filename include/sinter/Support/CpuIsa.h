//===- CpuIsa.h - instruction sets of CPUs ----------------------*- C++ -*-===//
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sinter {

/// SinterModel::isa on a CPU; a higher one runs what was compiled for a lower one. The first two
/// are the micro-architecture levels of the x86-64 ABI, the third is level 4 with AVX512-BF16.
constexpr uint32_t kIsaV3 = 3, kIsaV4 = 4, kIsaV4Bf16 = 5;

/// "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16": the spelling of --target, meta and messages.
inline std::string cpuIsaName(uint32_t isa) {
  return isa == kIsaV4Bf16 ? "x86-64-v4-bf16" : "x86-64-v" + std::to_string(isa);
}

/// What --isa takes: "v3", "v4", "v4-bf16"; 0 for anything else.
inline uint32_t cpuIsaFromFlag(std::string_view flag) {
  for (uint32_t isa = kIsaV3; isa <= kIsaV4Bf16; ++isa)
    if (cpuIsaName(isa) == "x86-64-" + std::string(flag))
      return isa;
  return 0;
}

} // namespace sinter
