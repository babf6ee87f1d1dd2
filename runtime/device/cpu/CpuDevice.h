//===- CpuDevice.h - the host processor as a device -------------*- C++ -*-===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cpu/ThreadPool.h"

#include <algorithm>
#include <memory>
#include <string>

namespace sinter {

struct CpuOptions {
  uint32_t threads = 0;          ///< 0: as many as the process may run on
  uint32_t isa = 0;              ///< to use less than the processor has: kIsaV3, ...; 0: the most
  bool dataParallel = true;      ///< threads may compute batches of their own: stepTogether()
  uint64_t sharedCacheBytes = 0; ///< of the cache that its threads share; 0: what the system says
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
  uint32_t batchesTogether() const override { return dataParallel_ ? pool_->threads() : 0; }
  uint64_t sharedCacheBytes() const override { return sharedCacheBytes_; }
  Status stepTogether(SinterStepFn function, std::span<SinterModel> models, uint32_t entry,
                      std::span<const SinterBatch> batches) override;
  void hostParallel(uint32_t tasks, const std::function<void(uint32_t, uint32_t)> &body) override;
  Result<double> measureReadBandwidth() override;
  Result<double> measureFmaPeak() override;
  void setProfile(StepProfile *profile) override { profile_ = profile; }

  ThreadPool &pool() { return *pool_; }
  /// Launches of steps so far; those of batches computed together count once.
  uint64_t launches() const { return launches_; }

private:
  CpuDevice() = default;
  struct Member;
  template <typename Run> void launch(const SinterLaunch *launch, Run run);

  std::unique_ptr<ThreadPool> pool_;
  uint32_t isa_ = 0;
  bool dataParallel_ = true;
  uint64_t sharedCacheBytes_ = 0;
  uint32_t entry_ = 0; ///< of the step in progress
  uint64_t launches_ = 0;
  std::string failure_;
  StepProfile *profile_ = nullptr;
};

} // namespace sinter
