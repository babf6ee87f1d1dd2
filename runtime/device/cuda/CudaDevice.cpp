//===- CudaDevice.cpp -----------------------------------------------------===//
#include "runtime/device/cuda/CudaDevice.h"

#include "runtime/device/cpu/Cpuid.h"
#include "runtime/device/cuda/GpuSpeed.h"
#include "runtime/device/cuda/PieceUpload.h"

#include <algorithm>
#include <chrono>
#include <immintrin.h>

namespace sinter {

using namespace cuda;

namespace {

constexpr int kGraphsKeepProgrammaticEdges = 12030; ///< the driver's version that began to

DevicePointer addressOf(const void *data) { return reinterpret_cast<DevicePointer>(data); }

void release(void *data, uint64_t) { driver().memFree(addressOf(data)); }

CudaDevice &deviceOf(const SinterRt *rt) { return *static_cast<CudaDevice *>(rt->self); }

} // namespace

Result<std::unique_ptr<CudaDevice>> CudaDevice::create(const CudaOptions &options) {
  constexpr uint32_t kMostHostThreads = 16; // they copy and convert weights, no more
  std::unique_ptr<CudaDevice> device(new CudaDevice);
  device->options_ = options;
  SINTER_ASSIGN_OR_RETURN(device->gpu_, Gpu::open(options.device));
  SINTER_ASSIGN_OR_RETURN(device->stream_, makeStream());
  SINTER_ASSIGN_OR_RETURN(device->copies_, makeStream());
  SINTER_ASSIGN_OR_RETURN(device->pool_,
                          ThreadPool::create(std::min(availableCpus(), kMostHostThreads)));
  return device;
}

CudaDevice::~CudaDevice() {
  if (stream_)
    driver().streamSynchronize(stream_.get()); // nothing may run when its memory goes
}

std::string CudaDevice::name() const {
  return gpu_->name() + ", sm_" + std::to_string(gpu_->capability());
}

uint64_t CudaDevice::freeMemory() const {
  size_t free = 0, total = 0;
  return driver().memGetInfo(&free, &total) == kSuccess ? free : 0;
}

Result<DeviceMemory> CudaDevice::allocate(uint64_t bytes, MemoryUse) {
  constexpr uint64_t kUnit = 256;
  const uint64_t size = std::max((bytes + kUnit - 1) / kUnit, uint64_t(1)) * kUnit;
  if (size < bytes)
    return resourceExhausted(std::to_string(bytes) + " bytes are more than an address space");
  DevicePointer data = 0;
  {
    SINTER_ASSIGN_OR_RETURN(DeviceBlock block, makeDeviceBlock(size));
    data = block.release();
  }
  DeviceMemory memory(reinterpret_cast<void *>(data), size, release);
  SINTER_RETURN_IF_ERROR(fill(memory.data(), 0, size));
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamSynchronize(stream_.get()), "cannot clear memory");
  return memory;
}

Status CudaDevice::fill(void *data, uint32_t word, uint64_t bytes) {
  SINTER_CUDA_RETURN_IF_ERROR(
      driver().fillWords(addressOf(data), word, bytes / sizeof word, stream_.get()),
      "cannot fill GPU memory");
  return Status::ok();
}

Status CudaDevice::upload(void *to, const void *from, uint64_t bytes) {
  SINTER_CUDA_RETURN_IF_ERROR(driver().copyToDevice(addressOf(to), from, bytes, stream_.get()),
                              "cannot copy to the GPU");
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamSynchronize(stream_.get()), "cannot copy to the GPU");
  return Status::ok();
}

Status CudaDevice::download(void *to, const void *from, uint64_t bytes) {
  SINTER_CUDA_RETURN_IF_ERROR(driver().copyToHost(to, addressOf(from), bytes, stream_.get()),
                              "cannot copy from the GPU");
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamSynchronize(stream_.get()),
                              "cannot copy from the GPU");
  return Status::ok();
}

Status CudaDevice::produce(std::span<const UploadPiece> pieces,
                           const std::function<Status(uint32_t, void *)> &produce) {
  return uploadPieces(*gpu_, *pool_, pieces, produce);
}

Status CudaDevice::loadKernels(const Manifest &manifest, std::string_view ptx,
                               std::string_view cubin) {
  manifest_ = &manifest;
  SINTER_ASSIGN_OR_RETURN(kernels_, KernelTable::load(manifest, ptx, cubin, *gpu_, options_.say));
  return Status::ok();
}

Status CudaDevice::prepare(const StepLimits &limits) {
  if (!manifest_)
    return internalError("a GPU was prepared before it had kernels");
  uint32_t maxTokens = 1, mostDecodes = 0;
  for (const EntryPlan &entry : manifest_->entries) {
    maxTokens = std::max(maxTokens, entry.maxTokens);
    if (entry.maxQ > 0)
      mostDecodes = std::max(mostDecodes, entry.maxTokens);
  }
  const size_t entries = manifest_->entries.size();
  SINTER_RETURN_IF_ERROR(slots_[0].prepare(entries, maxTokens, limits.maxPages));
  // Only steps of decodes are run ahead.
  secondSlotTokens_ = manifest_->feedback ? mostDecodes : 0;
  if (secondSlotTokens_ > 0)
    SINTER_RETURN_IF_ERROR(slots_[1].prepare(entries, secondSlotTokens_, limits.maxPages));
  return Status::ok();
}

std::string CudaDevice::describe(uint32_t kernel, uint32_t op) const {
  const EntryPlan &entry = manifest_->entries[entry_];
  std::string text = "kernel ";
  text +=
      kernel < manifest_->kernels.size() ? manifest_->kernels[kernel].name : std::to_string(kernel);
  if (op < entry.schedule.size())
    text += " for " + entry.schedule[op].name;
  return text + " in " + entry.name;
}

Status CudaDevice::mark(uint32_t index) {
  const unsigned flags = capturing_ ? kEventRecordExternal : 0;
  SINTER_CUDA_RETURN_IF_ERROR(driver().eventRecord(marks_[index].get(), stream_.get(), flags),
                              "cannot time a kernel");
  return Status::ok();
}

Status CudaDevice::launch(uint32_t kernel, const SinterLaunch &launch, uint32_t tasks) {
  if (kernel >= kernels_.size() || launch.num_args > SINTER_MAX_ARGS ||
      (profile_ && launched_ + 1 >= marks_.size()))
    return internalError(describe(kernel, launch.op) + ": its launch is out of range");
  const std::vector<OpPlan> &schedule = manifest_->entries[entry_].schedule;
  if (!only_.empty() &&
      (launch.op >= schedule.size() ||
       std::find(only_.begin(), only_.end(), schedule[launch.op].op) == only_.end()))
    return Status::ok();
  if (profile_ && launched_ == 0)
    SINTER_RETURN_IF_ERROR(mark(0));
  const bool full = launch.edge != SINTER_EDGE_PROGRAMMATIC || owesFullEdge_;
  owesFullEdge_ = full && tasks == 0;
  if (tasks == 0) // left out
    return profile_ ? mark(++launched_) : Status::ok();
  const bool programmatic = !full && launched_ > 0 && !profile_ && options_.programmaticLaunch &&
                            gpu_->capability() >= 90 &&
                            (!capturing_ || driver().version >= kGraphsKeepProgrammaticEdges);
  Status status = kernels_.launch(kernel, launch, tasks, slot().inputs.batchAddress(),
                                  stream_.get(), programmatic);
  if (status && options_.syncLaunches)
    if (const Code code = driver().streamSynchronize(stream_.get()))
      status = errorStatus(code, "failed on the GPU");
  if (!status)
    return status.withContext(describe(kernel, launch.op));
  ++launched_;
  return profile_ ? mark(launched_) : Status::ok();
}

Status CudaDevice::issue(SinterStepFn function, SinterModel &model, uint32_t entry,
                         const SinterBatch &batch) {
  SinterRt rt = {};
  rt.size = sizeof rt;
  rt.version = SINTER_ABI_VERSION;
  rt.self = this;
  rt.launch = [](const SinterRt *rt, uint32_t kernel, const SinterLaunch *launch,
                 uint32_t tasks) -> int32_t {
    CudaDevice &device = deviceOf(rt);
    device.launchError_ = device.launch(kernel, *launch, tasks);
    return device.launchError_ ? 0 : 1;
  };
  rt.fail = [](const SinterRt *rt, const char *message) -> int32_t {
    deviceOf(rt).failure_ = message ? message : "no reason given";
    return 1;
  };
  launched_ = 0;
  owesFullEdge_ = false;
  launchError_ = Status::ok();
  failure_.clear();
  const int32_t code = function(&rt, &model, entry, &batch);
  if (!launchError_)
    return launchError_;
  if (code)
    return internalError("the compiled model cannot run this step: " +
                         (failure_.empty() ? "code " + std::to_string(code) : failure_));
  return Status::ok();
}

/// Launches are left out where a step has no short or no long sequences.
OwnedGraphExec &CudaDevice::graphOf(uint32_t entry, const SinterBatch &batch) {
  const size_t variant = (batch.num_short > 0 ? 1 : 0) + (batch.num_short < batch.num_seqs ? 2 : 0);
  return slot().graphs[entry * kGraphVariants + variant];
}

Status CudaDevice::capture(SinterStepFn function, SinterModel &model, uint32_t entry,
                           const SinterBatch &batch) {
  const std::string what = "cannot capture " + manifest_->entries[entry].name;
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamBeginCapture(stream_.get(), kCaptureThreadLocal),
                              what);
  capturing_ = true;
  const Status issued = issue(function, model, entry, batch);
  capturing_ = false;
  Graph captured = nullptr;
  const Code code = driver().streamEndCapture(stream_.get(), &captured);
  const OwnedGraph graph(captured);
  SINTER_RETURN_IF_ERROR(issued);
  SINTER_CUDA_RETURN_IF_ERROR(code, what);
  GraphExec executable = nullptr;
  SINTER_CUDA_RETURN_IF_ERROR(driver().graphInstantiate(&executable, graph.get(), 0), what);
  graphOf(entry, batch) = OwnedGraphExec(executable);
  return Status::ok();
}

Status CudaDevice::run(SinterStepFn function, SinterModel &model, uint32_t entry,
                       const SinterBatch &batch) {
  if (!usesGraphs())
    return issue(function, model, entry, batch);
  OwnedGraphExec &graph = graphOf(entry, batch);
  if (!graph)
    SINTER_RETURN_IF_ERROR(capture(function, model, entry, batch));
  SINTER_CUDA_RETURN_IF_ERROR(driver().graphLaunch(graph.get(), stream_.get()),
                              "cannot start " + manifest_->entries[entry].name);
  return Status::ok();
}

Status CudaDevice::wait(const StepSlot &slot) {
  using Clock = std::chrono::steady_clock;
  // A decode step is shorter than waking a sleeping thread is worth; a long step is not.
  constexpr auto kSpin = std::chrono::milliseconds(4);
  Code code = kSuccess;
  for (const auto end = Clock::now() + kSpin; code == kSuccess && Clock::now() < end;) {
    code = driver().eventQuery(slot.finished.get());
    if (code == kSuccess)
      return Status::ok();
    if (code == kNotReady)
      code = kSuccess;
    _mm_pause();
  }
  if (code == kSuccess)
    code = driver().eventSynchronize(slot.finished.get());
  if (code == kSuccess)
    return Status::ok();
  const std::string &name = manifest_->entries[slot.entry].name;
  return errorStatus(
      code,
      name + " failed on the GPU" +
          (isFatal(code) && !options_.syncLaunches ? " (--debug sync names the kernel)" : ""));
}

uint32_t CudaDevice::tokensAhead() const {
  return profile_ || options_.syncLaunches ? 0 : secondSlotTokens_;
}

Status CudaDevice::step(SinterStepFn function, SinterModel &model, uint32_t entry,
                        const SinterBatch &batch) {
  SINTER_RETURN_IF_ERROR(startStep(function, model, entry, batch));
  return finishStep();
}

Status CudaDevice::startStep(SinterStepFn function, SinterModel &model, uint32_t entry,
                             const SinterBatch &batch) {
  if (!slots_[0].isPrepared() || entry >= manifest_->entries.size())
    return internalError("a step was asked for before the GPU was prepared");
  if (unfinished_ > 1 || (unfinished_ == 1 && batch.num_tokens > tokensAhead()))
    return internalError("more steps were started than can be under way");
  const EntryPlan &plan = manifest_->entries[entry];
  const uint64_t vocab = manifest_->model.vocab;
  current_ = unfinished_ == 0 ? 0 : 1 - current_;
  StepSlot &slot = slots_[current_];
  slot.entry = entry_ = entry;
  slot.batch = batch;
  SINTER_ASSIGN_OR_RETURN(slot.results, slot.outputs.of(plan, vocab));
  SINTER_ASSIGN_OR_RETURN(const SinterBatch onDevice,
                          slot.inputs.stage(batch, slot.results, vocab));
  if (profile_)
    SINTER_RETURN_IF_ERROR(reserveMarks(entry));
  SINTER_RETURN_IF_ERROR(unfinished_ == 0 ? slot.inputs.upload(stream_.get()) : uploadAside(slot));
  SINTER_RETURN_IF_ERROR(run(function, model, entry, onDevice));
  SINTER_RETURN_IF_ERROR(
      slot.outputs.startDownload(slot.results, batch.num_rows, vocab, stream_.get()));
  SINTER_CUDA_RETURN_IF_ERROR(driver().eventRecord(slot.finished.get(), stream_.get(), 0),
                              plan.name + " failed on the GPU");
  ++unfinished_;
  return Status::ok();
}

/// The inputs come while the step before runs.
Status CudaDevice::uploadAside(const StepSlot &slot) {
  SINTER_RETURN_IF_ERROR(slot.inputs.upload(copies_.get()));
  const std::string what = "cannot copy a step's inputs to the GPU";
  SINTER_CUDA_RETURN_IF_ERROR(driver().eventRecord(slot.uploaded.get(), copies_.get(), 0), what);
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamWaitEvent(stream_.get(), slot.uploaded.get(), 0),
                              what);
  return Status::ok();
}

Status CudaDevice::finishStep() {
  if (unfinished_ == 0)
    return internalError("no step is under way");
  StepSlot &slot = slots_[unfinished_ == 1 ? current_ : 1 - current_];
  --unfinished_;
  SINTER_RETURN_IF_ERROR(wait(slot));
  if (profile_)
    SINTER_RETURN_IF_ERROR(readMarks(slot.entry));
  return slot.outputs.finishDownload(slot.results, slot.batch, manifest_->model.vocab,
                                     stream_.get());
}

Status CudaDevice::reserveMarks(uint32_t entry) {
  while (marks_.size() < manifest_->entries[entry].schedule.size() + 1) {
    SINTER_ASSIGN_OR_RETURN(OwnedEvent event, makeEvent(0));
    marks_.push_back(std::move(event));
  }
  return Status::ok();
}

Status CudaDevice::readMarks(uint32_t entry) {
  const size_t ops = manifest_->entries[entry].schedule.size();
  for (uint32_t op = 0; op < ops; ++op) {
    float milliseconds = 0;
    SINTER_CUDA_RETURN_IF_ERROR(
        driver().eventElapsed(&milliseconds, marks_[op].get(), marks_[op + 1].get()),
        "cannot time a kernel");
    profile_->add(entry, op, uint64_t(double(milliseconds) * 1e6));
  }
  return Status::ok();
}

void CudaDevice::forgetGraphs() {
  (void)driver().streamSynchronize(stream_.get()); // one may be running
  for (StepSlot &slot : slots_)
    for (OwnedGraphExec &graph : slot.graphs)
      graph = OwnedGraphExec();
}

void CudaDevice::setProfile(StepProfile *profile) {
  if (bool(profile) != bool(profile_))
    forgetGraphs(); // they hold the events around launches, or lack them
  profile_ = profile;
}

void CudaDevice::restrictTo(std::vector<std::string> operations) {
  forgetGraphs();
  only_ = std::move(operations);
}

void CudaDevice::hostParallel(uint32_t tasks, const std::function<void(uint32_t, uint32_t)> &body) {
  constexpr uint32_t kSplit = 16;
  pool_->parallelFor(tasks, kSplit, body);
}

Result<double> CudaDevice::measureReadBandwidth() {
  return measureGpuReadBandwidth(*gpu_, stream_.get());
}

Result<double> CudaDevice::measureReplay(uint32_t count) {
  const OwnedGraphExec *graph = slot().graphs.empty() ? nullptr : &graphOf(entry_, slot().batch);
  if (!graph || !*graph)
    return unsupported("there is no graph to replay");
  std::vector<OwnedEvent> events;
  for (uint32_t i = 0; i < count + 2; ++i) {
    SINTER_ASSIGN_OR_RETURN(OwnedEvent event, makeEvent(0));
    events.push_back(std::move(event));
  }
  const std::string what = "cannot replay " + manifest_->entries[entry_].name;
  for (uint32_t i = 0; i < count + 2; ++i) {
    if (i > 0)
      SINTER_CUDA_RETURN_IF_ERROR(driver().graphLaunch(graph->get(), stream_.get()), what);
    SINTER_CUDA_RETURN_IF_ERROR(driver().eventRecord(events[i].get(), stream_.get(), 0), what);
  }
  SINTER_CUDA_RETURN_IF_ERROR(driver().streamSynchronize(stream_.get()), what);
  std::vector<float> times;
  for (uint32_t i = 2; i < count + 2; ++i) { // the first has no launch to hide behind
    float milliseconds = 0;
    SINTER_CUDA_RETURN_IF_ERROR(
        driver().eventElapsed(&milliseconds, events[i - 1].get(), events[i].get()), what);
    times.push_back(milliseconds);
  }
  std::sort(times.begin(), times.end());
  return double(times[times.size() / 2]) * 1e-3;
}

} // namespace sinter
