//===- Generator.h - prompts in, tokens out ---------------------*- C++ -*-===//
#pragma once

#include "runtime/engine/Executor.h"
#include "runtime/engine/Request.h"
#include "runtime/engine/Sampler.h"
#include "runtime/engine/TokenEdits.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace sinter {

struct GenerationRequest {
  std::vector<int32_t> prompt;
  uint32_t maxTokens = 0;
  SamplingParams sampling;
  bool ignoreEos = false;
};

struct Generation {
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::None;
  Status status;
};

/// One executed step.
struct StepRecord {
  /// Including sampling and bookkeeping; from the end of the step before where it was started
  /// ahead.
  double seconds = 0;
  uint32_t tokens = 0;
  uint32_t sequences = 0;
  bool decode = false; ///< every sequence ran one token that it had generated
  StepCost cost;
};

struct GeneratorOptions {
  uint32_t prefillChunk = 512;             ///< most prompt tokens in a step
  const std::atomic<bool> *stop = nullptr; ///< set from outside: cancel before the next step
  /// Debugging aid: after each prompt chunk of whole pages go on with a fork, so that the prompt's
  /// pages are shared ones.
  bool sharePages = false;
  /// Called after each step, outside the time that its record holds.
  std::function<void(const StepRecord &)> onStep = {};
};

/// Runs a fixed set of requests to their ends: prompts in chunks one after the other, then all
/// together one token at a time.
class Generator {
public:
  /// Called for every generated token; false cancels that request.
  using OnToken = std::function<bool(size_t request, int32_t token)>;
  /// Receives the logits [rows, vocab] of prompt positions in order.
  using OnLogits = std::function<Status(const float *logits, size_t rows)>;

  Generator(Executor &executor, PageAllocator &allocator, const GeneratorOptions &options)
      : executor_(executor), allocator_(allocator), options_(options) {}

  /// `onLogits`, when given, gets the logits of every position of every prompt. An error is one of
  /// the machinery; what concerns one request is in its Generation.
  Result<std::vector<Generation>> run(std::span<const GenerationRequest> requests,
                                      const OnToken &onToken, const OnLogits &onLogits = {});

  const std::vector<StepRecord> &steps() const { return steps_; }

private:
  struct Run {
    const GenerationRequest *request;
    Sequence sequence;
    Generation result;
    TokenEdits edits = {};
  };

  /// A decode step under way.
  struct Flight {
    std::vector<size_t> runs; ///< by row
    HeadKind head = HeadKind::Argmax;
    std::vector<SinterSampling> sampling; ///< by row, for any head
    StepOutput output;
    StepRecord record;
    StepId step = 0;
  };

  Status prefill(size_t index, const OnToken &onToken, const OnLogits &onLogits);
  Status decode(const OnToken &onToken);
  Status startDecode(Flight &flight, const Flight *before);
  Status finishDecode(Flight &flight, const OnToken &onToken);
  Status step(const WorkItem &item, HeadKind head, std::span<const SinterSampling> sampling);
  void accept(size_t index, size_t row, HeadKind head, const StepOutput &output,
              const OnToken &onToken);
  static SinterSampling describe(Run &run);
  bool mayStartBehind(const Flight &flight) const;
  Result<int32_t> pick(const Run &run, size_t row, HeadKind head, const StepOutput &output);
  bool stopped() const { return options_.stop && options_.stop->load(); }
  void finish(Run &run, FinishReason reason, Status status = Status::ok());

  Executor &executor_;
  PageAllocator &allocator_;
  GeneratorOptions options_;
  Sampler sampler_;
  StepOutput output_;
  std::vector<Run> runs_;
  std::vector<Sequence> originals_; ///< what forks share pages with
  std::vector<StepRecord> steps_;
};

} // namespace sinter
