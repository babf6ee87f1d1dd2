//===- Scheduler.cpp ------------------------------------------------------===//
#include "runtime/engine/Scheduler.h"

#include "runtime/engine/PromptLookup.h"

#include <algorithm>

namespace sinter {

void Scheduler::add(Sample &sample) { waiting_.insert(&sample); }

void Scheduler::remove(Sample &sample) {
  if (sample.state == Sample::State::Running)
    running_.erase(std::lower_bound(running_.begin(), running_.end(), &sample, before));
  else
    waiting_.erase(&sample);
  if (blocked_ == &sample)
    blocked_ = nullptr;
}

HeadKind Scheduler::headOf(const Sample &sample) const {
  const ActiveRequest &request = *sample.request;
  // All samples draw their first token from one row, and a step draws one from each.
  const bool shared =
      !request.branched && request.samples.size() > 1 && !request.request.sampling.greedy();
  return request.needsLogits() || shared
             ? HeadKind::Logits
             : executor_.headFor(request.request.sampling, request.constrained);
}

/// The step's shape with this sample in it; whether an entry point takes it.
bool Scheduler::extends(const Sample &sample, uint32_t tokens, uint32_t rows, Shape &shape) const {
  shape = shape_;
  shape.tokens += tokens;
  shape.rows += rows;
  shape.maxQ = std::max(shape.maxQ, tokens);
  shape.head = widerHead(shape.head, headOf(sample));
  return shape.tokens <= limit_ && executor_.fits(shape.tokens, shape.rows, shape.maxQ, shape.head);
}

void Scheduler::take(Sample &sample, uint32_t tokens, uint32_t rows, const Shape &shape) {
  items_->push_back({&sample, tokens, rows});
  sample.plannedIn = plans_;
  shape_ = shape;
}

Status Scheduler::preempt(Sample &sample) {
  ++preemptions_;
  const auto planned = std::find_if(items_->begin(), items_->end(), [&](const PlannedItem &item) {
    return item.sample == &sample;
  });
  if (planned != items_->end()) {
    shape_.tokens -= planned->tokens;
    shape_.rows -= planned->rows;
    items_->erase(planned);
  }
  remove(sample);
  sample.state = Sample::State::Preempted;
  SINTER_RETURN_IF_ERROR(residency_.leave(sample));
  add(sample);
  return Status::ok();
}

/// Preempts samples after `sample` until there are so many pages. False: there are not.
Result<bool> Scheduler::makeRoom(const Sample &sample, uint32_t pages) {
  while (residency_.allocator().availablePages() < pages) {
    if (running_.empty() || !before(&sample, running_.back()))
      return false;
    SINTER_RETURN_IF_ERROR(preempt(*running_.back()));
  }
  return true;
}

void Scheduler::draft(Sample &sample) {
  const Request &request = sample.request->request;
  const uint32_t left = request.maxTokens - sample.generated;
  const uint32_t count = std::min({request.promptLookup, kMaxPromptLookup, left - 1});
  if (count == 0)
    return;
  const std::span<const int32_t> found = lookupPrompt(sample.sequence.tokens(), count);
  const std::vector<int32_t> guesses(found.begin(), found.end());
  Shape ignored;
  const auto tokens = uint32_t(1 + guesses.size());
  // Guesses cost nobody a page or a place in the step.
  if (sample.sequence.pagesMissing(tokens) > residency_.allocator().availablePages() ||
      shape_.tokens + tokens + running_.size() + reserved_ > limit_ ||
      !extends(sample, tokens, tokens, ignored))
    return;
  sample.sequence.append(guesses);
  sample.drafted = uint32_t(guesses.size());
}

/// Whether prompts wait that fill several steps; what is swapped out need not be computed. One
/// prompt counts for a step at most: a long one does not lift the limit by itself.
bool Scheduler::longQueue() const {
  constexpr uint32_t kSteps = 4;
  constexpr uint32_t kLooked = 256; // of the queue: the work of a step does not grow with it
  uint64_t left = uint64_t(kSteps) * limits_.busyTokens;
  const auto enoughWith = [&](const Sample *sample) {
    const uint32_t waiting = sample->sequence.waiting();
    const uint32_t tokens = waiting > 1 && !sample->swapped ? waiting : 0;
    left -= std::min<uint64_t>(left, std::min(tokens, limits_.busyTokens));
    return left == 0;
  };
  if (std::any_of(running_.begin(), running_.end(), enoughWith))
    return true;
  auto end = waiting_.begin();
  std::advance(end, std::min<size_t>(waiting_.size(), kLooked));
  return std::any_of(waiting_.begin(), end, enoughWith);
}

bool Scheduler::decodes() const {
  return std::any_of(running_.begin(), running_.end(),
                     [](const Sample *sample) { return sample->sequence.waiting() == 1; });
}

/// Tokens that chunks may take of a step of `limit_`.
uint32_t Scheduler::promptShare() const {
  const bool limited = decodes() && limits_.promptTokens < limit_ && !longQueue();
  return limited ? limits_.promptTokens : limit_;
}

Status Scheduler::planDecodes() {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sample &sample = *running_[i];
    if (sample.sequence.waiting() != 1 || sample.plannedIn == plans_)
      continue;
    Shape shape;
    if (!extends(sample, 1, 1, shape))
      continue;
    const uint64_t preempted = preemptions_;
    SINTER_ASSIGN_OR_RETURN(const bool room, makeRoom(sample, sample.sequence.pagesMissing(1)));
    if (!room)
      continue;
    draft(sample);
    const uint32_t tokens = 1 + sample.drafted;
    SINTER_RETURN_IF_ERROR(sample.sequence.reserve(tokens));
    if (sample.drafted > 0 || preemptions_ != preempted)
      extends(sample, tokens, tokens, shape);
    take(sample, tokens, tokens, shape);
  }
  return Status::ok();
}

/// The most of a sample's waiting tokens that the budget leaves. A window may be smaller than the
/// pool and the tokens more than it holds.
uint32_t Scheduler::chunkOf(const Sample &sample) const {
  const uint32_t others = residency_.allocator().numPages() - sample.sequence.heldPages();
  return std::min({sample.sequence.reach(others), limit_ - shape_.tokens, promptLeft_});
}

/// Puts a chunk of a running sample into the step. False: no budget, pages or entry point for it.
Result<bool> Scheduler::schedulePrefill(Sample &sample) {
  Sequence &sequence = sample.sequence;
  uint32_t chunk = chunkOf(sample);
  if (chunk == 0)
    return false;
  SINTER_ASSIGN_OR_RETURN(const bool room, makeRoom(sample, sequence.pagesMissing(chunk)));
  chunk = std::min(chunk, chunkOf(sample)); // the same; preempted items only added to the budget
  if (!room)
    chunk = std::min(chunk, sequence.reach(residency_.allocator().availablePages()));
  const uint32_t rows = chunk == sequence.waiting() && chunk > 0;
  Shape shape;
  if (chunk == 0)
    return false;
  if (!extends(sample, chunk, rows, shape)) {
    chunkRefused_ = true;
    return false;
  }
  SINTER_RETURN_IF_ERROR(sequence.reserve(chunk));
  take(sample, chunk, rows, shape);
  promptLeft_ -= chunk;
  return true;
}

Status Scheduler::planPrefills() {
  for (size_t i = 0; i < running_.size() && shape_.tokens < limit_ && promptLeft_ > 0; ++i)
    if (running_[i]->sequence.waiting() > 1 && running_[i]->plannedIn != plans_)
      SINTER_RETURN_IF_ERROR(schedulePrefill(*running_[i]).status());
  return Status::ok();
}

Status Scheduler::admit() {
  while (!waiting_.empty() && shape_.tokens < limit_ && promptLeft_ > 0 && !chunkRefused_) {
    Sample &sample = **waiting_.begin();
    const PageAllocator &allocator = residency_.allocator();
    const bool outranks = !running_.empty() && before(&sample, running_.back());
    if (!outranks && (running_.size() >= limits_.maxSequences ||
                      (blocked_ == &sample && allocator.availablePages() < blockedPages_)))
      break;
    residency_.adopt(sample);
    // One that outranks nobody leaves a page for each of the others to grow into.
    const uint32_t others = allocator.numPages() - sample.sequence.heldPages();
    const uint32_t pages = std::min(sample.sequence.pagesToRun(limits_.tokensPerStep), others);
    const auto margin = uint32_t(outranks ? 0 : running_.size());
    bool room = allocator.availablePages() >= pages + margin;
    if (!room && outranks) {
      SINTER_ASSIGN_OR_RETURN(room, makeRoom(sample, pages));
    }
    if (!room) {
      sample.sequence.releasePages();
      blocked_ = &sample;
      blockedPages_ = pages;
      break;
    }
    if (running_.size() >= limits_.maxSequences)
      SINTER_RETURN_IF_ERROR(preempt(*running_.back()));
    SINTER_RETURN_IF_ERROR(residency_.restore(sample));
    waiting_.erase(&sample);
    sample.state = Sample::State::Running;
    running_.insert(std::lower_bound(running_.begin(), running_.end(), &sample, before), &sample);
    SINTER_RETURN_IF_ERROR(schedulePrefill(sample).status());
  }
  return Status::ok();
}

Status Scheduler::plan(std::vector<PlannedItem> &items) {
  ++plans_;
  items.clear();
  items_ = &items;
  shape_ = {};
  limit_ = decodes() ? limits_.busyTokens : limits_.tokensPerStep;
  promptLeft_ = promptShare();
  const bool prompts =
      !waiting_.empty() || std::any_of(running_.begin(), running_.end(), [](const Sample *sample) {
        return sample->sequence.waiting() > 1;
      });
  reserved_ = prompts && promptLeft_ < limit_ ? promptLeft_ : 0;
  chunkRefused_ = false;
  if (chunksFirst_) {
    chunksFirst_ = false;
    SINTER_RETURN_IF_ERROR(planPrefills());
    SINTER_RETURN_IF_ERROR(admit());
    return planDecodes();
  }
  SINTER_RETURN_IF_ERROR(planDecodes());
  SINTER_RETURN_IF_ERROR(planPrefills());
  SINTER_RETURN_IF_ERROR(admit());
  chunksFirst_ = chunkRefused_;
  return Status::ok();
}

} // namespace sinter
