//===- Engine.h - many requests, one step at a time -------------*- C++ -*-===//
//
// The engine without threads: requests go in, step() runs the model once and tells listeners what
// came out. The same requests submitted before the same steps give the same steps and, with a
// batch-invariant artefact, each request's tokens do not depend on the others at all.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/engine/Scheduler.h"
#include "runtime/engine/Service.h"
#include "runtime/engine/TokenPicker.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace sinter {

/// One executed step.
struct EngineStep {
  double seconds = 0;       ///< all of it
  double deviceSeconds = 0; ///< the device's part
  uint32_t tokens = 0;      ///< computed
  uint32_t sequences = 0;
  StepCost cost;
};

struct EngineOptions {
  uint32_t maxSequences = 256; ///< samples that hold pages at a time
  /// 0: 512 where the device has host memory, else what an entry point takes.
  uint32_t tokensPerStep = 0;
  /// Of a step that also decodes. 0: tokensPerStep where that was chosen, else at most 2048.
  uint32_t busyTokensPerStep = 0;
  /// Of prompts in such a step. 0: tokensPerStep where that was chosen, else by the model's
  /// operations per token, so that no step takes much longer than others.
  uint32_t promptTokensPerStep = 0;
  uint64_t maxRequests = 4096; ///< running and queued, for EngineService
  bool prefixCache = true;     ///< between requests; samples of one share their prompt anyway
  uint32_t agingSteps = 256;   ///< of waiting that weigh as much as a level of priority
  uint64_t swapBytes = 0;      ///< host memory for pages of preempted samples; 0: recompute them
  /// What swapping and recomputing cost, see PreemptionCosts; 0: a guess by the kind of device.
  double swapBytesPerSecond = 10e9;
  double operationsPerSecond = 0;
  /// Debugging aids: pages in the order of a shuffle; freed pages filled with NaN; the books
  /// checked after every step.
  std::optional<uint64_t> shufflePages = {};
  bool poisonFreedPages = false;
  bool checkBooks = false;
  /// Called after each step, outside the time that it was measured in.
  std::function<void(const EngineStep &)> onStep = {};
};

class Engine {
public:
  /// The executor has nobody else who steps it. The options are cut down to what it can do.
  static Result<std::unique_ptr<Engine>> create(Executor &executor, const EngineOptions &options);
  ~Engine();

  /// To be called first by a thread that takes the engine over and has not created the device.
  void enterThread();
  /// Whether a request can ever run; the answer never changes. From any thread.
  Status validate(const Request &request) const;
  /// Takes a valid request under an id of its own. On an engine that has failed its listener hears
  /// so at once.
  void submit(RequestId id, Request request, std::shared_ptr<RequestListener> listener);
  /// Ends what is left of a request; one that is not there any more is left alone.
  void cancel(RequestId id);
  void cancelAll();
  /// Whether there is nothing to do.
  bool idle() const { return requests_.empty(); }
  /// Runs one step. An error is one of the device or of the engine: every request has failed with
  /// it then, and so will later ones.
  Status step();

  const Status &health() const { return health_; }
  EngineFigures figures() const;
  ServiceLimits limits() const { return limits_; }
  const EngineOptions &options() const { return options_; }
  const PageAllocator &allocator() const { return allocator_; }
  const Residency &residency() const { return residency_; }
  /// Describes the first contradiction between samples, pages and swap space.
  Status checkIntegrity() const;

private:
  Engine(Executor &executor, const EngineOptions &options);

  Status runStep(EngineStep &record);
  void accept(const PlannedItem &item, size_t row);
  void branch(ActiveRequest &request, size_t row);
  void acceptRows(Sample &sample, size_t row, uint32_t rows);
  FinishReason take(Sample &sample, int32_t token, size_t row);
  bool endsAt(const Request &request, int32_t token) const;
  void finish(Sample &sample, FinishReason reason, const Status &status = Status::ok());
  void countStart(ActiveRequest &request);
  void fail(const Status &status);

  Executor &executor_;
  EngineOptions options_;
  ServiceLimits limits_;
  PageAllocator allocator_;
  Residency residency_;
  Scheduler scheduler_;
  TokenPicker picker_;
  std::map<RequestId, std::unique_ptr<ActiveRequest>> requests_;
  std::vector<PlannedItem> plan_;
  std::vector<WorkItem> items_;
  StepOutput output_;
  std::chrono::steady_clock::time_point computed_; ///< when the last step's outputs were there
  uint64_t started_ = 0;                           ///< of the requests here
  EngineFigures figures_;
  Status health_;
};

} // namespace sinter
