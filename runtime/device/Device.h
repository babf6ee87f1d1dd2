//===- Device.h - what the engine needs from a machine ----------*- C++ -*-===//
//
// The engine and the loader see a device only through this interface. A device owns memory and runs
// steps of a compiled model; it knows nothing about sequences, tokens or text.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/device/StepProfile.h"
#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
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

/// The most bytes that are produced for device memory at a time.
constexpr uint64_t kMaxUploadPiece = uint64_t(2) << 20;

/// A stretch of device memory of at most kMaxUploadPiece bytes, waiting for its contents.
struct UploadPiece {
  void *destination = nullptr;
  uint64_t bytes = 0;
};

/// What the steps to come need at most.
struct StepLimits {
  uint64_t scratchBytes = 0; ///< per host thread
  uint32_t maxPages = 0;     ///< of one sequence
};

class Device {
public:
  virtual ~Device() = default;

  /// What it is, for people: "AMD EPYC 9V74, x86-64-v4, 2 threads".
  virtual std::string name() const = 0;
  /// What artefacts call it: meta.target.
  virtual std::string target() const = 0;
  /// The best instruction set it runs (SinterModel.isa); 0 where that means nothing.
  virtual uint32_t isa() const = 0;
  /// Whether the host can read and write its memory.
  virtual bool hasHostMemory() const = 0;
  /// Bytes that can still be allocated, as far as the system tells.
  virtual uint64_t freeMemory() const = 0;

  /// Makes it usable from the calling thread, if that is not the one that created it. One thread at
  /// a time uses a device.
  virtual Status enterThread() { return Status::ok(); }

  virtual Result<DeviceMemory> allocate(uint64_t bytes, MemoryUse use) = 0;
  /// Sets every 32-bit word of [data, data + bytes) to `word`.
  virtual Status fill(void *data, uint32_t word, uint64_t bytes) = 0;

  /// Copies between host memory and device memory; both have finished on return.
  virtual Status upload(void *to, const void *from, uint64_t bytes) = 0;
  virtual Status download(void *to, const void *from, uint64_t bytes) = 0;
  /// Fills every piece with what `produce(index, host)` writes to `host`, on several threads:
  /// making pieces overlaps with copying others. `host` is the destination itself where the device
  /// has host memory.
  virtual Status produce(std::span<const UploadPiece> pieces,
                         const std::function<Status(uint32_t index, void *host)> &produce) = 0;

  /// Makes the kernels of an artefact ready; where they are host code there is nothing to do. The
  /// manifest must outlive the device's use of them.
  virtual Status loadKernels(const Manifest &manifest, std::string_view ptx,
                             std::string_view cubin) = 0;
  /// Called once before the first step.
  virtual Status prepare(const StepLimits &limits) = 0;
  virtual Status step(SinterStepFn function, SinterModel &model, uint32_t entry,
                      const SinterBatch &batch) = 0;

  /// How many batches stepTogether() computes at a time; below 2: it cannot.
  virtual uint32_t batchesTogether() const { return 0; }
  /// The cache that all its threads share, in bytes; 0: none or not known.
  virtual uint64_t sharedCacheBytes() const { return 0; }
  /// A step for each batch at the same time, by one thread each. `models` differ in their arenas;
  /// no sequence is in two batches.
  virtual Status stepTogether(SinterStepFn, std::span<SinterModel>, uint32_t,
                              std::span<const SinterBatch>) {
    return internalError("this device computes one batch at a time");
  }

  /// The most tokens of a step that can be started while the one before it runs; 0: none can. Where
  /// some can, artefacts with meta.feedback take token ids that are results of the step before.
  virtual uint32_t tokensAhead() const { return 0; }
  /// Starts a step; at most one other may be unfinished. The host may change or free the batch's
  /// inputs on return; its outputs are there after the matching finishStep().
  virtual Status startStep(SinterStepFn function, SinterModel &model, uint32_t entry,
                           const SinterBatch &batch) {
    return step(function, model, entry, batch);
  }
  /// Waits for the oldest step that was started.
  virtual Status finishStep() { return Status::ok(); }

  /// Runs `body(begin, end)` over ranges that cover [0, tasks), on the host, in parallel.
  virtual void hostParallel(uint32_t tasks,
                            const std::function<void(uint32_t, uint32_t)> &body) = 0;

  /// Measures how fast it reads memory, in bytes per second, and its f32 multiply-adds, in
  /// operations per second; 0: not measured on this kind of device, or the machine is too busy.
  /// Takes less than a second.
  virtual Result<double> measureReadBandwidth() = 0;
  virtual Result<double> measureFmaPeak() = 0;

  /// Records the launches of later steps in `profile`, which must outlive them; null stops.
  virtual void setProfile(StepProfile *profile) = 0;
};

} // namespace sinter
