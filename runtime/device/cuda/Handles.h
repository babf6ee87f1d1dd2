//===- Handles.h - driver objects that end with their owner -----*- C++ -*-===//
#pragma once

#include "runtime/device/cuda/CudaDriver.h"

#include <string>
#include <utility>

namespace sinter::cuda {

/// Owns a driver object that CudaDriver's member `Destroy` ends.
template <typename T, Code (*CudaDriver::*Destroy)(T)> class Handle {
public:
  Handle() = default;
  explicit Handle(T value) : value_(value) {}
  Handle(Handle &&other) noexcept : value_(std::exchange(other.value_, T())) {}
  Handle &operator=(Handle &&other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Handle() {
    if (value_)
      (driver().*Destroy)(value_); // in a dead context this fails, and there is nothing to do
  }
  T get() const { return value_; }
  /// The object, now the caller's to end.
  T release() { return std::exchange(value_, T()); }
  explicit operator bool() const { return value_ != T(); }

private:
  T value_ = T();
};

using OwnedStream = Handle<Stream, &CudaDriver::streamDestroy>;
using OwnedEvent = Handle<Event, &CudaDriver::eventDestroy>;
using OwnedModule = Handle<Module, &CudaDriver::moduleUnload>;
using OwnedGraph = Handle<Graph, &CudaDriver::graphDestroy>;
using OwnedGraphExec = Handle<GraphExec, &CudaDriver::graphExecDestroy>;
using DeviceBlock = Handle<DevicePointer, &CudaDriver::memFree>;
using PinnedBlock = Handle<void *, &CudaDriver::memFreeHost>; ///< host memory the GPU can reach, at
                                                              ///< the same address

inline Result<OwnedStream> makeStream() {
  Stream stream = nullptr;
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamCreate(&stream, kStreamNonBlocking),
                              "cannot create a stream");
  return OwnedStream(stream);
}

inline Result<OwnedEvent> makeEvent(unsigned flags) {
  Event event = nullptr;
  SINTER_CUDA_RETURN_IF_ERROR(driver().eventCreate(&event, flags), "cannot create an event");
  return OwnedEvent(event);
}

/// "1280 MiB", small sizes in bytes.
inline std::string memoryText(uint64_t bytes) {
  constexpr int kMebibyte = 20;
  return bytes >> kMebibyte ? std::to_string(bytes >> kMebibyte) + " MiB"
                            : std::to_string(bytes) + " bytes";
}

inline Result<PinnedBlock> makePinned(uint64_t bytes) {
  void *data = nullptr;
  SINTER_CUDA_RETURN_IF_ERROR(
      driver().memHostAlloc(&data, bytes, kHostAllocPortable | kHostAllocDeviceMap),
      "cannot allocate " + memoryText(bytes) + " of host memory for copies");
  return PinnedBlock(data);
}

inline Result<DeviceBlock> makeDeviceBlock(uint64_t bytes) {
  DevicePointer data = 0;
  const Code code = driver().memAlloc(&data, bytes);
  if (code == kOutOfMemory) {
    size_t free = 0, total = 0;
    driver().memGetInfo(&free, &total);
    return resourceExhausted("out of GPU memory: " + memoryText(bytes) + " asked for, " +
                             memoryText(free) + " of " + memoryText(total) + " are free");
  }
  SINTER_CUDA_RETURN_IF_ERROR(code, "cannot allocate GPU memory");
  return DeviceBlock(data);
}

} // namespace sinter::cuda
