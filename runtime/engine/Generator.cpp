//===- Generator.cpp ------------------------------------------------------===//
#include "runtime/engine/Generator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

} // namespace

void Generator::finish(Run &run, FinishReason reason, Status status) {
  run.result.finish = reason;
  run.result.status = std::move(status);
  run.sequence.releasePages();
}

HeadKind Generator::headFor(const GenerationRequest &request) const {
  return request.sampling.takesArgmax() && executor_.hasHead(HeadKind::Argmax) ? HeadKind::Argmax
                                                                               : HeadKind::Logits;
}

Status Generator::step(std::span<const WorkItem> items, HeadKind head, bool decode) {
  const auto start = Clock::now();
  SINTER_RETURN_IF_ERROR(executor_.step(items, head, output_));
  StepRecord record;
  for (const WorkItem &item : items)
    record.tokens += item.tokens;
  record.sequences = uint32_t(items.size());
  record.decode = decode;
  record.cost = executor_.lastCost();
  record.seconds = secondsSince(start);
  steps_.push_back(record);
  return Status::ok();
}

Result<int32_t> Generator::pick(const Run &run, size_t row, HeadKind head) {
  const uint64_t position = run.sequence.tokens().size();
  const uint64_t vocab = executor_.manifest().model.vocab;
  if (head == HeadKind::Logits)
    return sampler_.sample({output_.logits.data() + row * vocab, vocab}, run.request->sampling,
                           position, {run.sequence.tokens(), run.request->prompt.size()});
  const int32_t token = output_.argmaxIndex[row];
  if (!std::isfinite(output_.argmaxValue[row]) || token < 0 || uint64_t(token) >= vocab)
    return internalError("the logits for position " + std::to_string(position) + " are not finite");
  return token;
}

void Generator::accept(size_t index, size_t row, HeadKind head, const OnToken &onToken) {
  Run &run = runs_[index];
  const Result<int32_t> picked = pick(run, row, head);
  if (!picked)
    return finish(run, FinishReason::Failed, picked.status());
  const int32_t token = *picked;
  const std::vector<int32_t> &eos = executor_.manifest().model.eos;
  if (!run.request->ignoreEos && std::find(eos.begin(), eos.end(), token) != eos.end())
    return finish(run, FinishReason::Eos);
  run.result.tokens.push_back(token);
  run.sequence.append(token);
  if (onToken && !onToken(index, token))
    return finish(run, FinishReason::Cancelled);
  if (run.result.tokens.size() >= run.request->maxTokens)
    finish(run, FinishReason::Length);
}

Status Generator::prefill(size_t index, const OnToken &onToken, const OnLogits &onLogits) {
  Run &run = runs_[index];
  const HeadKind head = onLogits ? HeadKind::Logits : headFor(*run.request);
  const uint32_t chunk = std::min(options_.prefillChunk, executor_.maxTokens(head, bool(onLogits)));
  if (chunk == 0)
    return unsupported("the artefact has no entry point for this request");
  while (run.sequence.waiting() > 0) {
    if (stopped()) {
      finish(run, FinishReason::Cancelled);
      break;
    }
    const uint32_t count = std::min(chunk, run.sequence.waiting());
    const bool last = count == run.sequence.waiting();
    if (Status status = run.sequence.reserve(count); !status) {
      finish(run, FinishReason::Failed, std::move(status));
      return Status::ok();
    }
    const bool wanted = last && run.request->maxTokens > 0;
    const WorkItem item = {&run.sequence, count,
                           onLogits ? Rows::All
                           : wanted ? Rows::Last
                                    : Rows::None};
    SINTER_RETURN_IF_ERROR(step({&item, 1}, head, false));
    if (options_.onStep)
      options_.onStep(steps_.back());
    if (onLogits)
      SINTER_RETURN_IF_ERROR(onLogits(output_.logits.data(), count));
    if (wanted)
      accept(index, onLogits ? count - 1 : 0, head, onToken);
    else if (last)
      finish(run, FinishReason::Length);
    if (last || run.result.finish != FinishReason::None)
      break;
    if (options_.sharePages && run.sequence.cached() % run.sequence.pageSize() == 0) {
      Sequence fork = run.sequence.fork();
      originals_.push_back(std::exchange(run.sequence, std::move(fork)));
    }
  }
  return Status::ok();
}

Status Generator::decode(const OnToken &onToken) {
  std::vector<WorkItem> items;
  std::vector<size_t> live;
  for (;;) {
    items.clear();
    live.clear();
    HeadKind head = HeadKind::Argmax;
    for (size_t i = 0; i < runs_.size(); ++i) {
      Run &run = runs_[i];
      if (run.result.finish != FinishReason::None)
        continue;
      if (stopped()) {
        finish(run, FinishReason::Cancelled);
        continue;
      }
      if (Status status = run.sequence.reserve(1); !status) {
        finish(run, FinishReason::Failed, std::move(status));
        continue;
      }
      items.push_back({&run.sequence, 1, Rows::Last});
      live.push_back(i);
      if (headFor(*run.request) == HeadKind::Logits)
        head = HeadKind::Logits; // a greedy request reads its argmax from the logits as well
    }
    if (items.empty())
      return Status::ok();
    const auto start = Clock::now();
    SINTER_RETURN_IF_ERROR(step(items, head, true));
    for (size_t row = 0; row < live.size(); ++row)
      accept(live[row], row, head, onToken);
    steps_.back().seconds = secondsSince(start);
    if (options_.onStep)
      options_.onStep(steps_.back());
  }
}

Result<std::vector<Generation>> Generator::run(std::span<const GenerationRequest> requests,
                                               const OnToken &onToken, const OnLogits &onLogits) {
  runs_.clear();
  steps_.clear();
  const auto pageSize = uint32_t(executor_.manifest().kv.pageSize);
  for (const GenerationRequest &request : requests) {
    if (request.prompt.empty())
      return invalidArgument("the prompt is empty: at least one token is needed");
    SINTER_RETURN_IF_ERROR(request.sampling.check());
    runs_.push_back({&request, Sequence(allocator_, pageSize), {}});
    runs_.back().sequence.append(request.prompt);
  }
  Status status;
  for (size_t i = 0; i < runs_.size() && status; ++i)
    status = prefill(i, onToken, onLogits);
  if (status)
    status = decode(onToken);
  std::vector<Generation> results;
  for (Run &run : runs_)
    results.push_back(std::move(run.result));
  runs_.clear(); // gives the pages back, whatever happened
  originals_.clear();
  SINTER_RETURN_IF_ERROR(status);
  return results;
}

} // namespace sinter
