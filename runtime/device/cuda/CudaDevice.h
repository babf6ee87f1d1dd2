//===- CudaDevice.h - an NVIDIA GPU as a device -----------------*- C++ -*-===//
//
// A step is one copy of its inputs, the captured graph of its entry point, one copy of its logits
// if it has any, and a wait. The graph is captured at the entry's first step by running sinter_step
// on a stream in capture; it is valid for every later step, as kernels read what changes from the
// inputs' block. Steps of short sequences only, of long ones only and of both have a graph each.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "runtime/device/cuda/KernelTable.h"
#include "runtime/device/cuda/StepBuffers.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace sinter {

struct CudaOptions {
  int device = 0;
  bool graphs = true;
  bool programmaticLaunch = true; ///< where the GPU can and the compiler allows it
  bool syncLaunches = false;      ///< debugging aid: wait for every kernel and name the failing one
  cuda::Say say;                  ///< lines for the user; may be empty
};

class CudaDevice final : public Device {
public:
  static Result<std::unique_ptr<CudaDevice>> create(const CudaOptions &options);
  ~CudaDevice() override;

  std::string name() const override;
  std::string target() const override { return kCudaTarget; }
  uint32_t isa() const override { return 0; }
  bool hasHostMemory() const override { return false; }
  uint64_t freeMemory() const override;
  Status enterThread() override { return gpu_->enter(); }
  Result<DeviceMemory> allocate(uint64_t bytes, MemoryUse use) override;
  Status fill(void *data, uint32_t word, uint64_t bytes) override;
  Status upload(void *to, const void *from, uint64_t bytes) override;
  Status download(void *to, const void *from, uint64_t bytes) override;
  Status produce(std::span<const UploadPiece> pieces,
                 const std::function<Status(uint32_t, void *)> &produce) override;
  Status loadKernels(const Manifest &manifest, std::string_view ptx,
                     std::string_view cubin) override;
  Status prepare(const StepLimits &limits) override;
  Status step(SinterStepFn function, SinterModel &model, uint32_t entry,
              const SinterBatch &batch) override;
  uint32_t tokensAhead() const override;
  Status startStep(SinterStepFn function, SinterModel &model, uint32_t entry,
                   const SinterBatch &batch) override;
  Status finishStep() override;
  void hostParallel(uint32_t tasks, const std::function<void(uint32_t, uint32_t)> &body) override;
  Result<double> measureReadBandwidth() override;
  Result<double> measureFmaPeak() override { return 0.0; }
  void setProfile(StepProfile *profile) override;

  /// Replays the graph of the last step `count` times, which computes the same again, and gives
  /// the median time of one on the GPU.
  Result<double> measureReplay(uint32_t count);
  /// From the next step on only launches of these operations run, to measure them alone: what steps
  /// give means nothing then. None: all run again.
  void restrictTo(std::vector<std::string> operations);

private:
  CudaDevice() = default;
  bool usesGraphs() const { return options_.graphs && !options_.syncLaunches; }
  Status run(SinterStepFn function, SinterModel &model, uint32_t entry, const SinterBatch &batch);
  Status issue(SinterStepFn function, SinterModel &model, uint32_t entry, const SinterBatch &batch);
  Status capture(SinterStepFn function, SinterModel &model, uint32_t entry,
                 const SinterBatch &batch);
  cuda::OwnedGraphExec &graphOf(uint32_t entry, const SinterBatch &batch);
  Status launch(uint32_t kernel, const SinterLaunch &launch, uint32_t tasks);
  Status uploadAside(const cuda::StepSlot &slot);
  Status mark(uint32_t index);
  Status reserveMarks(uint32_t entry);
  Status readMarks(uint32_t entry);
  Status wait(const cuda::StepSlot &slot);
  void forgetGraphs();
  cuda::StepSlot &slot() { return slots_[current_]; }
  std::string describe(uint32_t kernel, uint32_t op) const;

  CudaOptions options_;
  std::unique_ptr<cuda::Gpu> gpu_; // what follows must end before its context
  cuda::OwnedStream stream_;
  cuda::OwnedStream copies_; ///< of inputs, while a step runs on the other
  std::unique_ptr<ThreadPool> pool_;
  const Manifest *manifest_ = nullptr;
  cuda::KernelTable kernels_;
  std::array<cuda::StepSlot, 2> slots_; ///< steps take them in turn while one is unfinished
  uint32_t secondSlotTokens_ = 0;
  std::vector<cuda::OwnedEvent> marks_; ///< around the launches of a profiled step

  // Of the step started last:
  uint32_t current_ = 0;
  uint32_t unfinished_ = 0;
  uint32_t entry_ = 0;
  uint32_t launched_ = 0;
  bool capturing_ = false;
  bool owesFullEdge_ = false; ///< of a launch that was left out
  Status launchError_;
  std::string failure_;
  StepProfile *profile_ = nullptr;
  std::vector<std::string> only_; ///< operations that run; empty: all
};

} // namespace sinter
