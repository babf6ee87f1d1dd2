//===- FakeCuda.h - a CUDA driver that runs on the host ---------*- C++ -*-===//
//
// A libcuda.so.1 for tests. "Device" addresses are reserved and unreadable, so that host code that
// follows one crashes; the bytes behind them lie elsewhere. Work on a stream waits until someone
// synchronises, so that what a copy reads too early or too late shows. Kernels of the fake model
// (FakeKernels.cpp) run by name.
//
// SINTER_FAKE_CUDA, read by cuInit, or sinter_fake_configure() spoils it: "key=value,key=value" of
//   devices=0         no GPU                   capability=80    another SM
//   version=11040     an old driver            memory=BYTES     a smaller GPU
//   fail-alloc=N      the Nth allocation fails take=BYTES       gone after the first allocation
//   fail-launch=NAME  a launch is refused      fault=NAME       a kernel reads out of bounds
//   fault-after=N     ... in its run N + 1
//   foreign-cubin=1   no cubin loads           old-ptx=1        PTX is too new
//   bad-ptx=1         PTX does not compile     any-kernel=1     kernels it does not know do nothing
//   window=TOKENS     the kernels' attention has a window
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/cuda/CudaApi.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sinter::fake {

/// What happened since the last configuration.
struct CudaCounters {
  uint64_t copiesToDevice, copiesToHost;
  uint64_t kernels;  ///< executed
  uint64_t launches; ///< cuLaunchKernelEx, captured ones included
  uint64_t programmatic;
  uint64_t graphs; ///< instantiated
  uint64_t graphLaunches;
  uint64_t blocks; ///< of device and pinned memory, not freed yet
};

/// Thrown by a kernel that reads or writes outside its memory.
struct Fault {};

/// Device memory as kernels see it.
class DeviceView {
public:
  virtual ~DeviceView() = default;
  /// `bytes` at a device address; throws Fault when they are not in one block.
  virtual uint8_t *bytes(cuda::DevicePointer address, uint64_t bytes) = 0;
  /// What the configuration says.
  virtual uint64_t number(const char *key, uint64_t fallback) const = 0;

  template <typename T> T *array(cuda::DevicePointer address, uint64_t count) {
    return reinterpret_cast<T *>(bytes(address, count * sizeof(T)));
  }
  template <typename T> T *array(const T *address, uint64_t count) {
    return array<T>(reinterpret_cast<cuda::DevicePointer>(address), count);
  }
};

/// The parameters of a launch: addresses, those of tensor maps included.
using Parameters = std::vector<cuda::DevicePointer>;

struct FakeKernel {
  std::string layout; ///< per parameter: p pointer, m tensor map, u 32-bit number
  void (*run)(DeviceView &memory, const Parameters &parameters);
};

/// The kernels of the fake model and those of the runtime itself.
const std::map<std::string, FakeKernel> &fakeKernels();

} // namespace sinter::fake

extern "C" {
void sinter_fake_configure(const char *text);
sinter::fake::CudaCounters sinter_fake_counters();
}
