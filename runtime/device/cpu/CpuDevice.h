//===- CpuDevice.h - the host processor as a device -------------*- C++ -*-===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>
#include <memory>
#include <string>

namespace sinter {

struct CpuOptions {
  uint32_t threads = 0; ///< 0: as many as the process may run on
  uint32_t isa = 0;     ///< to use less than the processor has: kIsaV3, ...; 0: the most
};

class CpuDevice final : public Device {
public:
  static Result<std::unique_ptr<CpuDevice>> create(const CpuOptions &options);

  std::string name() const override;
  std::string target() const override { return "cpu"; }
  uint32_t isa() const override { return isa_; }
  /// From here on as if the processor had no more than `isa`.
  void useAtMost(uint32_t isa) { isa_ = std::min(isa_, isa); }
  bool hasHostMemory() const override { return true; }
  uint64_t freeMemory() const override;
  Result<DeviceMemory> allocate(uint64_t bytes, MemoryUse use) override;
  Status fill(void *data, uint32_t word, uint64_t bytes) override;
  Status upload(void *to, const void *from, uint64_t bytes) override;
  Status download(void *to, const void *from, uint64_t bytes) override;
  Status produce(std::span<const UploadPiece> pieces,
                 const std::function<Status(uint32_t, void *)> &produce) override;
  Status loadKernels(const Manifest &, std::string_view, std::string_view) override {
    return Status::ok();
  }
  Status prepare(const StepLimits &limits) override {
    return pool_->reserveScratch(limits.scratchBytes);
  }
  Status step(SinterStepFn function, SinterModel &model, uint32_t entry,
              const SinterBatch &batch) override;
  void hostParallel(uint32_t tasks, const std::function<void(uint32_t, uint32_t)> &body) override;
  Result<double> measureReadBandwidth() override;
  Result<double> measureFmaPeak() override;
  void setProfile(StepProfile *profile) override { profile_ = profile; }

  ThreadPool &pool() { return *pool_; }
  /// parallel_for calls made by steps so far.
  uint64_t launches() const { return launches_; }

private:
  CpuDevice() = default;
  void launch(SinterKernel kernel, const SinterLaunch *launch, uint32_t tasks);

  std::unique_ptr<ThreadPool> pool_;
  uint32_t isa_ = 0;
  uint32_t entry_ = 0; ///< of the step in progress
  uint64_t launches_ = 0;
  std::string failure_;
  StepProfile *profile_ = nullptr;
};

} // namespace sinter
