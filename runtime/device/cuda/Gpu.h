//===- Gpu.h - one GPU and the process's context on it ----------*- C++ -*-===//
#pragma once

#include "runtime/device/cuda/CudaDriver.h"

#include <cstdint>
#include <memory>
#include <string>

namespace sinter::cuda {

/// What an SM can run, 90 for compute capability 9.0.
using Capability = int;

class Gpu {
public:
  /// Device `number` of the driver, its primary context current on this thread.
  static Result<std::unique_ptr<Gpu>> open(int number);
  ~Gpu();
  Gpu(const Gpu &) = delete;
  Gpu &operator=(const Gpu &) = delete;

  const std::string &name() const { return name_; } ///< "NVIDIA H200"
  Capability capability() const { return capability_; }
  uint32_t multiprocessors() const { return multiprocessors_; }
  uint32_t maxSharedBytes() const { return maxShared_; } ///< of a CTA that asks for more
  /// Makes the context current on the calling thread.
  Status enter() const;

private:
  Gpu() = default;

  DeviceNumber device_ = 0;
  Context context_ = nullptr;
  std::string name_;
  Capability capability_ = 0;
  uint32_t multiprocessors_ = 0;
  uint32_t maxShared_ = 0;
};

/// Whether code compiled for `isa` ("sm_90a", "sm_80") runs: machine code on SMs of its own major
/// version from its minor version on, PTX on everything from its version on, and what ends with a
/// letter on exactly its version.
bool cubinRuns(const std::string &isa, Capability capability);
bool ptxRuns(const std::string &isa, Capability capability);

/// What the compiler best compiles for to run on `capability`: "sm_90a"; empty: nothing.
std::string compileTarget(Capability capability);

/// compileTarget() of device `number`, without a context. An error says why there is none.
Result<std::string> detectChip(int number);

} // namespace sinter::cuda
