//===- Device.h - what the engine needs from a machine ----------*- C++ -*-===//
//
// The engine and the loader see a device only through this interface. A device owns memory and runs
// steps of a compiled model; it knows nothing about sequences, tokens or text.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/StepProfile.h"
#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace sinter {

/// A block of device memory, zero at first, at least 64-byte aligned, freed with its owner.
class DeviceMemory {
public:
  using Release = void (*)(void *data, uint64_t bytes);

  DeviceMemory() = default;
  DeviceMemory(void *data, uint64_t bytes, Release release)
      : data_(data), bytes_(bytes), release_(release) {}
  DeviceMemory(DeviceMemory &&other) noexcept { swap(other); }
  DeviceMemory &operator=(DeviceMemory &&other) noexcept {
    DeviceMemory taken(std::move(other));
    swap(taken);
    return *this;
  }
  DeviceMemory(const DeviceMemory &) = delete;
  DeviceMemory &operator=(const DeviceMemory &) = delete;
  ~DeviceMemory() {
    if (release_)
      release_(data_, bytes_);
  }

  void *data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

private:
  void swap(DeviceMemory &other) {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(release_, other.release_);
  }

  void *data_ = nullptr;
  uint64_t bytes_ = 0;
  Release release_ = nullptr;
};

enum class MemoryUse {
  Weights, ///< written once, read every step
  Arena,   ///< activations
  Cache,   ///< the page pool; pages not yet used should cost nothing
};

class Device {
public:
  virtual ~Device() = default;

  /// What it is, for people: "AMD EPYC 9V74, x86-64-v4, 2 threads".
  virtual std::string name() const = 0;
  /// What artefacts call it: meta.target.
  virtual std::string target() const = 0;
  /// The highest instruction level it runs (SinterModel.isa); 0 where that means nothing.
  virtual uint32_t isa() const = 0;
  /// Bytes that can still be allocated, as far as the system tells.
  virtual uint64_t freeMemory() const = 0;

  virtual Result<DeviceMemory> allocate(uint64_t bytes, MemoryUse use) = 0;
  /// Sets every 32-bit word of [data, data + bytes) to `word`.
  virtual Status fill(void *data, uint32_t word, uint64_t bytes) = 0;

  /// Called once before the first step with what the artefact's kernels need.
  virtual Status prepare(uint64_t scratchBytes) = 0;
  virtual Status step(SinterStepFn function, SinterModel &model, uint32_t entry,
                      const SinterBatch &batch) = 0;

  /// Runs `body(begin, end)` over ranges that cover [0, tasks), on the host, in parallel.
  virtual void hostParallel(uint32_t tasks,
                            const std::function<void(uint32_t, uint32_t)> &body) = 0;

  /// Records the launches of later steps in `profile`, which must outlive them; null stops.
  virtual void setProfile(StepProfile *profile) = 0;
};

} // namespace sinter
