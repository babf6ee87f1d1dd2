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

Status Generator::step(const WorkItem &item, HeadKind head,
                       std::span<const SinterSampling> sampling) {
  const auto start = Clock::now();
  SINTER_RETURN_IF_ERROR(executor_.step({&item, 1}, head, output_, sampling));
  StepRecord record;
  record.tokens = item.tokens;
  record.sequences = 1;
  record.cost = executor_.lastCost();
  record.seconds = secondsSince(start);
  steps_.push_back(record);
  return Status::ok();
}

/// What a step with HeadKind::Sample is told of the row that gives the run's next token.
SinterSampling Generator::describe(Run &run) {
  const SamplingParams &params = run.request->sampling;
  const std::span<const int32_t> tokens = run.sequence.tokens();
  SinterSampling row = params.forDevice(tokens.size());
  if (params.changesLogits())
    run.edits.describe(params, tokens, run.request->prompt.size(), row);
  return row;
}

Result<int32_t> Generator::pick(const Run &run, size_t row, HeadKind head,
                                const StepOutput &output) {
  const uint64_t position = run.request->prompt.size() + run.result.tokens.size();
  const uint64_t vocab = executor_.manifest().model.vocab;
  if (head == HeadKind::Logits)
    return sampler_.sample({output.logits.data() + row * vocab, vocab}, run.request->sampling,
                           position, {run.sequence.tokens(), run.request->prompt.size()});
  const int32_t token = output.argmaxIndex[row];
  if (!std::isfinite(output.argmaxValue[row]) || token < 0 || uint64_t(token) >= vocab)
    return internalError("the logits for position " + std::to_string(position) + " are not finite");
  return token;
}

void Generator::accept(size_t index, size_t row, HeadKind head, const StepOutput &output,
                       const OnToken &onToken) {
  Run &run = runs_[index];
  if (run.result.finish != FinishReason::None)
    return; // it ended while this step, started ahead, was under way
  const Result<int32_t> picked = pick(run, row, head, output);
  if (!picked)
    return finish(run, FinishReason::Failed, picked.status());
  const int32_t token = *picked;
  const std::vector<int32_t> &eos = executor_.manifest().model.eos;
  if (!run.request->ignoreEos && std::find(eos.begin(), eos.end(), token) != eos.end())
    return finish(run, FinishReason::Eos);
  const size_t position = run.request->prompt.size() + run.result.tokens.size();
  run.result.tokens.push_back(token);
  if (position < run.sequence.tokens().size())
    run.sequence.settle(position, token); // the next step was started before it was known
  else
    run.sequence.append(token);
  if (onToken && !onToken(index, token))
    return finish(run, FinishReason::Cancelled);
  if (run.result.tokens.size() >= run.request->maxTokens)
    finish(run, FinishReason::Length);
}

Status Generator::prefill(size_t index, const OnToken &onToken, const OnLogits &onLogits) {
  Run &run = runs_[index];
  const SamplingParams &params = run.request->sampling;
  const HeadKind head = onLogits ? HeadKind::Logits : executor_.headFor(params);
  const uint32_t chunk = std::min(options_.prefillChunk, executor_.maxTokens(head, bool(onLogits)));
  if (chunk == 0)
    return unsupported("the artefact has no entry point for this request");
  while (run.sequence.waiting() > 0) {
    if (stopped()) {
      finish(run, FinishReason::Cancelled);
      break;
    }
    uint32_t count = std::min(chunk, run.sequence.waiting());
    if (run.sequence.hasWindow()) // of which the pool need not hold more
      count = std::max(1u, std::min(count, run.sequence.reach(allocator_.availablePages())));
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
    const SinterSampling row = describe(run);
    SINTER_RETURN_IF_ERROR(step(item, head, {&row, wanted ? size_t(1) : 0}));
    run.sequence.dropUnseen();
    if (options_.onStep)
      options_.onStep(steps_.back());
    if (onLogits)
      SINTER_RETURN_IF_ERROR(onLogits(output_.logits.data(), count));
    if (wanted)
      accept(index, onLogits ? count - 1 : 0, head, output_, onToken);
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

/// Starts a step of all requests that go on or, after a step that has yet to finish, of those that
/// do so as far as is known. Leaves `flight` empty where there are none.
Status Generator::startDecode(Flight &flight, const Flight *before) {
  std::vector<WorkItem> items;
  flight.runs.clear();
  flight.sampling.clear();
  flight.head = HeadKind::Argmax;
  flight.record = {};
  flight.record.decode = true;
  for (size_t i = 0; i < (before ? before->runs.size() : runs_.size()); ++i) {
    Run &run = runs_[before ? before->runs[i] : i];
    const bool ends = before && run.result.tokens.size() + 1 >= run.request->maxTokens;
    if (run.result.finish != FinishReason::None || ends)
      continue;
    if (!before && stopped()) {
      finish(run, FinishReason::Cancelled);
      continue;
    }
    run.sequence.dropUnseen(); // what the step before still reads is not reused until it ends
    if (before)
      run.sequence.append(-1 - int32_t(i)); // the result of its row
    if (Status status = run.sequence.reserve(1); !status && !before) {
      finish(run, FinishReason::Failed, std::move(status));
      continue;
    } else if (!status) { // its turn comes once this step's result is known
      run.sequence.truncate(uint32_t(run.sequence.tokens().size() - 1));
      continue;
    }
    items.push_back({&run.sequence, 1, Rows::Last});
    flight.runs.push_back(size_t(&run - runs_.data()));
    flight.sampling.push_back(describe(run));
    flight.head = widerHead(flight.head, executor_.headFor(run.request->sampling));
  }
  if (items.empty())
    return Status::ok();
  flight.step = allocator_.beginStep();
  const Status started = executor_.start(items, flight.head, flight.output, flight.sampling);
  if (!started) {
    allocator_.endStep(flight.step);
    return started;
  }
  flight.record.tokens = flight.record.sequences = uint32_t(items.size());
  flight.record.cost = executor_.lastCost();
  return Status::ok();
}

Status Generator::finishDecode(Flight &flight, const OnToken &onToken) {
  const Status finished = executor_.finish();
  allocator_.endStep(flight.step);
  SINTER_RETURN_IF_ERROR(finished);
  for (size_t row = 0; row < flight.runs.size(); ++row)
    accept(flight.runs[row], row, flight.head, flight.output, onToken);
  return Status::ok();
}

/// Whether the next step can be started before the tokens of this one are known: none of its rows
/// is drawn with penalties for them.
bool Generator::mayStartBehind(const Flight &flight) const {
  return flight.head != HeadKind::Logits && flight.runs.size() <= executor_.tokensAhead() &&
         std::none_of(flight.runs.begin(), flight.runs.end(),
                      [&](size_t run) { return runs_[run].request->sampling.penalizes(); });
}

Status Generator::decode(const OnToken &onToken) {
  Flight flights[2];
  auto start = Clock::now();
  for (size_t turn = 0;; turn = 1 - turn) {
    Flight &now = flights[turn], &next = flights[1 - turn];
    if (now.runs.empty()) {
      start = Clock::now();
      SINTER_RETURN_IF_ERROR(startDecode(now, nullptr));
      if (now.runs.empty())
        return Status::ok();
    }
    next.runs.clear();
    Status status;
    if (mayStartBehind(now) && !stopped())
      status = startDecode(next, &now);
    const Status finished = finishDecode(now, onToken);
    now.runs.clear();
    if (!finished && status && !next.runs.empty()) {
      // Its results must not come when this function's memory is gone; how it ends says nothing
      // new.
      (void)executor_.finish();
      allocator_.endStep(next.step);
    }
    SINTER_RETURN_IF_ERROR(finished);
    SINTER_RETURN_IF_ERROR(status);
    now.record.seconds = secondsSince(start);
    steps_.push_back(now.record);
    start = Clock::now(); // of what runs already
    if (options_.onStep)
      options_.onStep(steps_.back());
  }
}

Result<std::vector<Generation>> Generator::run(std::span<const GenerationRequest> requests,
                                               const OnToken &onToken, const OnLogits &onLogits) {
  runs_.clear();
  steps_.clear();
  const KvPlan &kv = executor_.manifest().kv;
  for (const GenerationRequest &request : requests) {
    if (request.prompt.empty())
      return invalidArgument("the prompt is empty: at least one token is needed");
    SINTER_RETURN_IF_ERROR(request.sampling.check());
    runs_.push_back({&request, Sequence(allocator_, uint32_t(kv.pageSize), kv.window), {}});
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
