//===- Engine.cpp ---------------------------------------------------------===//
#include "runtime/engine/Engine.h"

#include "runtime/engine/PromptLookup.h"

#include <algorithm>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

double secondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

EngineOptions cutDown(EngineOptions options, const Executor &executor, bool hostMemory) {
  constexpr uint32_t kOnHost = 512, kBusy = 2048;
  // Of a small server and of a large GPU: they decide between two ways to the same tokens.
  constexpr double kHostRate = 100e9, kElsewhereRate = 200e12;
  uint32_t most = executor.maxTokens(HeadKind::Logits, false);
  for (const HeadKind head : {HeadKind::Argmax, HeadKind::Sample})
    if (executor.hasHead(head))
      most = std::min(most, executor.maxTokens(head, false));
  if (options.promptTokensPerStep == 0)
    options.promptTokensPerStep = options.tokensPerStep;
  if (options.busyTokensPerStep == 0)
    options.busyTokensPerStep = options.tokensPerStep ? options.tokensPerStep : kBusy;
  if (options.tokensPerStep == 0)
    options.tokensPerStep = hostMemory ? kOnHost : most;
  options.tokensPerStep = std::min(options.tokensPerStep, most);
  options.busyTokensPerStep = std::min(options.busyTokensPerStep, options.tokensPerStep);
  options.promptTokensPerStep = std::min(options.promptTokensPerStep, options.busyTokensPerStep);
  // A step of all decodes must exist and leave a token for a prompt.
  options.maxSequences =
      std::clamp(options.maxSequences, 1u, std::max(options.busyTokensPerStep, 2u) - 1);
  while (options.maxSequences > 1 &&
         !executor.fits(options.maxSequences, options.maxSequences, 1, HeadKind::Logits))
    --options.maxSequences;
  if (options.operationsPerSecond == 0)
    options.operationsPerSecond = hostMemory ? kHostRate : kElsewhereRate;
  return options;
}

/// What the device computes in a few steps' time, in whole tiles. H200, 8B, 70 % load, p99 between
/// tokens with 2048, 640 and 470 of them: 23.8, 20.7 and 15.0 ms (median 6.5).
uint32_t promptTokens(const EngineOptions &options, const Residency &residency) {
  constexpr double kSeconds = 0.04;
  constexpr uint32_t kTile = 128, kLeast = 256;
  if (options.promptTokensPerStep)
    return options.promptTokensPerStep;
  const double tokens =
      kSeconds * options.operationsPerSecond / std::max(residency.operationsPerToken(), 1.0);
  const auto most = uint32_t(std::min(tokens, double(options.busyTokensPerStep)));
  return std::max(kLeast, most / kTile * kTile);
}

PageAllocator makeAllocator(uint32_t pages, const EngineOptions &options) {
  return options.shufflePages ? PageAllocator(pages, *options.shufflePages) : PageAllocator(pages);
}

} // namespace

Engine::Engine(Executor &executor, const EngineOptions &options)
    : executor_(executor), options_(options),
      allocator_(makeAllocator(executor.numPages(), options)),
      residency_(executor, allocator_,
                 {options.swapBytes, options.swapBytesPerSecond, options.operationsPerSecond}),
      scheduler_(executor, residency_,
                 {options.maxSequences, options.tokensPerStep, options.busyTokensPerStep,
                  promptTokens(options, residency_)}),
      picker_(executor.device(), executor.manifest().model.vocab) {
  options_.promptTokensPerStep = promptTokens(options, residency_);
  const Manifest &manifest = executor.manifest();
  limits_.maxTokens = executor.longestSequence();
  limits_.maxRequests = options.maxRequests;
  limits_.vocab = manifest.model.vocab;
}

Result<std::unique_ptr<Engine>> Engine::create(Executor &executor, const EngineOptions &options) {
  if (executor.maxTokens(HeadKind::Logits, false) == 0)
    return unsupported("the artefact has no entry point that gives logits");
  std::unique_ptr<Engine> engine(
      new Engine(executor, cutDown(options, executor, executor.device().hasHostMemory())));
  if (options.poisonFreedPages)
    engine->allocator_.setOnFree([engine = engine.get()](PageId page) {
      if (Status status = engine->executor_.poisonPage(page); !status && engine->health_)
        engine->health_ = std::move(status);
    });
  return engine;
}

Engine::~Engine() { fail(unavailable("the engine was closed")); }

void Engine::enterThread() {
  if (const Status status = executor_.device().enterThread(); !status)
    fail(status);
}

Status Engine::validate(const Request &request) const {
  if (request.prompt.empty())
    return invalidArgument("the prompt is empty: at least one token is needed");
  for (const int32_t token : request.prompt)
    if (token < 0 || uint64_t(token) >= limits_.vocab)
      return invalidArgument("token id " + std::to_string(token) +
                             " is outside the vocabulary of " + std::to_string(limits_.vocab));
  if (request.maxTokens == 0)
    return invalidArgument("max tokens: expected at least 1");
  if (const uint64_t tokens = uint64_t(request.prompt.size()) + request.maxTokens;
      tokens > limits_.maxTokens)
    return invalidArgument("a prompt of " + std::to_string(request.prompt.size()) + " and " +
                           std::to_string(request.maxTokens) + " new tokens are more than the " +
                           std::to_string(limits_.maxTokens) + " that there is room for");
  constexpr uint32_t kMaxSamples = 128;
  if (request.samples == 0 || request.samples > kMaxSamples)
    return invalidArgument("samples: expected 1 to " + std::to_string(kMaxSamples));
  if (request.logprobs < -1 || request.logprobs > int64_t(limits_.vocab))
    return invalidArgument("logprobs: expected -1 (none) to " + std::to_string(limits_.vocab));
  if (request.promptLookup > kMaxPromptLookup)
    return invalidArgument("prompt lookup: expected 0 (off) to " +
                           std::to_string(kMaxPromptLookup));
  for (const auto &[token, bias] : request.sampling.logitBias)
    if (token < 0 || uint64_t(token) >= limits_.vocab)
      return invalidArgument("logit-bias: token id " + std::to_string(token) +
                             " is outside the vocabulary of " + std::to_string(limits_.vocab));
  return request.sampling.check();
}

void Engine::submit(RequestId id, Request request, std::shared_ptr<RequestListener> listener) {
  auto active = std::make_unique<ActiveRequest>();
  active->id = id;
  active->request = std::move(request);
  active->listener = std::move(listener);
  active->arrival = Clock::now();
  active->unfinished = active->request.samples;
  std::string salt = active->request.cacheSalt;
  if (!options_.prefixCache)
    salt += "\nrequest " + std::to_string(id); // nobody else's
  active->root = prefixRoot(salt);
  constexpr int32_t kMostPriority = 1000000;
  const int64_t priority = std::clamp(active->request.priority, -kMostPriority, kMostPriority);
  for (uint32_t i = 0; i < active->request.samples; ++i) {
    const ScheduleOrder order = {int64_t(figures_.steps) - priority * options_.agingSteps, id, i};
    const KvPlan &kv = executor_.manifest().kv;
    Sequence sequence(allocator_, uint32_t(kv.pageSize), kv.window);
    active->samples.push_back(std::make_unique<Sample>(*active, order, std::move(sequence)));
  }
  Sample &first = *active->samples.front();
  first.sequence.append(active->request.prompt);
  first.constraint = std::move(active->request.constraint);
  first.state = Sample::State::Queued;
  active->constrained = first.constraint != nullptr;
  scheduler_.add(first);
  requests_.emplace(id, std::move(active));
  if (!health_)
    fail(health_);
}

void Engine::cancel(RequestId id) {
  const auto found = requests_.find(id);
  if (found == requests_.end())
    return;
  // The request goes away with its last sample.
  std::vector<Sample *> samples;
  for (const auto &sample : found->second->samples)
    if (sample->state != Sample::State::Ended)
      samples.push_back(sample.get());
  for (Sample *sample : samples)
    finish(*sample, FinishReason::Cancelled);
}

void Engine::cancelAll() {
  while (!requests_.empty())
    cancel(requests_.begin()->first);
}

void Engine::fail(const Status &status) {
  health_ = status;
  while (!requests_.empty()) {
    const ActiveRequest &request = *requests_.begin()->second;
    const auto sample =
        std::find_if(request.samples.begin(), request.samples.end(),
                     [](const auto &s) { return s->state != Sample::State::Ended; });
    finish(**sample, FinishReason::Failed, status);
  }
}

void Engine::finish(Sample &sample, FinishReason reason, const Status &status) {
  ActiveRequest &request = *sample.request;
  if (sample.state != Sample::State::Unborn)
    scheduler_.remove(sample);
  sample.state = Sample::State::Ended;
  sample.sequence.releasePages();
  sample.swapped.reset();
  request.reason = std::max(request.reason, reason);
  request.listener->onFinish(sample.order.sample, reason, status);
  if (--request.unfinished > 0)
    return;
  ++(request.reason == FinishReason::Failed      ? figures_.failed
     : request.reason == FinishReason::Cancelled ? figures_.cancelled
                                                 : figures_.finished);
  started_ -= request.started;
  request.listener->onDone(request.usage);
  requests_.erase(request.id);
}

/// The first time that a request's prompt is about to be computed.
void Engine::countStart(ActiveRequest &request) {
  request.started = true;
  ++started_;
  const Sequence &sequence = request.samples.front()->sequence;
  request.usage.promptTokens = request.request.prompt.size();
  request.usage.cachedTokens = std::min<uint64_t>(sequence.cached(), request.usage.promptTokens);
  figures_.promptTokens += request.usage.promptTokens;
  figures_.prefixLookups += request.usage.promptTokens;
  figures_.prefixHits += request.usage.cachedTokens;
  figures_.queueTime.add(secondsBetween(request.arrival, Clock::now()));
}

Status Engine::runStep(EngineStep &record) {
  SINTER_RETURN_IF_ERROR(scheduler_.plan(plan_));
  if (plan_.empty())
    return internalError("requests are waiting and no step can be made");
  items_.clear();
  for (const PlannedItem &item : plan_) {
    if (!item.sample->request->started)
      countStart(*item.sample->request);
    items_.push_back({&item.sample->sequence, item.tokens,
                      item.rows == 0   ? Rows::None
                      : item.rows == 1 ? Rows::Last
                                       : Rows::All});
    record.tokens += item.tokens;
  }
  record.sequences = uint32_t(items_.size());
  std::span<const SinterSampling> sampling;
  if (scheduler_.head() == HeadKind::Sample)
    sampling = picker_.describeRows(plan_);
  const StepId step = allocator_.beginStep();
  const Status ran = executor_.step(items_, scheduler_.head(), output_, sampling);
  allocator_.endStep(step);
  SINTER_RETURN_IF_ERROR(ran);
  record.deviceSeconds = executor_.deviceSeconds();
  computed_ = Clock::now();
  picker_.prepare(plan_, output_, scheduler_.head());
  size_t row = 0;
  for (const PlannedItem &item : plan_) {
    accept(item, row);
    row += item.rows;
  }
  return options_.checkBooks ? checkIntegrity() : Status::ok();
}

Status Engine::step() {
  if (!health_ || idle())
    return health_;
  const auto start = Clock::now();
  EngineStep record;
  Status status = runStep(record);
  if (status)
    status = health_; // poisoning a page may have failed on the way
  if (!status) {
    fail(status);
    return status;
  }
  record.seconds = secondsBetween(start, Clock::now());
  ++figures_.steps;
  figures_.stepSeconds += record.seconds;
  figures_.hostSeconds += record.seconds - record.deviceSeconds;
  if (options_.onStep) {
    record.cost = executor_.lastCost();
    options_.onStep(record);
  }
  return Status::ok();
}

EngineFigures Engine::figures() const {
  EngineFigures figures = figures_;
  figures.queued = requests_.size() - started_;
  figures.running = scheduler_.running().size();
  figures.preempted = scheduler_.waiting().size() - figures.queued;
  figures.preemptions = scheduler_.preemptions();
  figures.pagesTotal = allocator_.numPages();
  figures.pagesFree = allocator_.freePages();
  figures.pagesUsed = allocator_.ownedPages() + allocator_.restingPages();
  figures.pagesCached = allocator_.cachedPages();
  figures.pagesSwapped = residency_.swappedPages();
  figures.pagesEverSwapped = residency_.pagesEverSwapped();
  return figures;
}

Status Engine::checkIntegrity() const {
  SINTER_RETURN_IF_ERROR(allocator_.checkIntegrity());
  std::vector<uint32_t> owners(allocator_.numPages(), 0);
  uint64_t running = 0, waiting = 0, swapped = 0;
  for (const auto &[id, request] : requests_)
    for (const auto &sample : request->samples) {
      const bool runs = sample->state == Sample::State::Running;
      running += runs;
      waiting +=
          sample->state == Sample::State::Queued || sample->state == Sample::State::Preempted;
      swapped += sample->swapped ? sample->swapped->pages() : 0;
      if (!runs && !sample->sequence.pages().empty())
        return internalError("a sample that does not run holds pages");
      SINTER_RETURN_IF_ERROR(sample->sequence.checkIntegrity());
      for (const PageId page :
           std::span(sample->sequence.pages()).subspan(sample->sequence.dropped()))
        ++owners[size_t(page)];
    }
  for (PageId page = 0; page < PageId(owners.size()); ++page)
    if (owners[size_t(page)] != allocator_.references(page))
      return internalError("page " + std::to_string(page) + " has another number of owners");
  if (running != scheduler_.running().size() || waiting != scheduler_.waiting().size())
    return internalError("the scheduler has lost a sample");
  if (swapped != residency_.swappedPages())
    return internalError("the swap space is counted wrongly");
  return Status::ok();
}

} // namespace sinter
