//===- Scheduler.h - what the next step computes ----------------*- C++ -*-===//
//
// A step is formed in three passes over samples in their order (ScheduleOrder):
//
//   decode    one token of every sample that has computed the rest, and its guesses
//   prefill   a chunk of every running sample that has not, as far as the token budget goes
//   admit     waiting samples whose pages are there, with a chunk each
//
// Where a sample lacks a page, samples after it lose theirs, the last one first. A sample that may
// take nobody's pages waits with what it has. The first sample of all can take everyone's: it
// always gets on. Where the artefact has no entry point for all decodes together with a chunk,
// steps of both kinds take turns.
//
// Whoever decodes waits for the prompts in its step: while anyone does, it has `busyTokens`, and
// chunks take no more than `promptTokens` of it, and guesses leave them as many, unless prompts
// wait that fill several steps.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/engine/Residency.h"

#include <cstdint>
#include <set>
#include <vector>

namespace sinter {

struct SchedulerLimits {
  uint32_t maxSequences = 0;  ///< that hold pages at a time
  uint32_t tokensPerStep = 0; ///< at most what an entry point takes
  uint32_t busyTokens = 0;    ///< the same of a step that also decodes
  uint32_t promptTokens = 0;  ///< of prompts in such a step
};

/// One sample's part of a step.
struct PlannedItem {
  Sample *sample = nullptr;
  uint32_t tokens = 0;
  uint32_t rows = 0; ///< the last ones of its tokens whose logits are wanted
};

class Scheduler {
public:
  Scheduler(Executor &executor, Residency &residency, const SchedulerLimits &limits)
      : executor_(executor), residency_(residency), limits_(limits) {}

  /// A sample that is to wait for its turn.
  void add(Sample &sample);
  /// A sample that is not to run any more. Its pages stay its own.
  void remove(Sample &sample);

  /// Forms the next step; empty when there is nothing to do. Pages are reserved. Fails when the
  /// device does.
  Status plan(std::vector<PlannedItem> &items);
  /// The head that this step needs.
  HeadKind head() const { return shape_.head; }

  const std::vector<Sample *> &running() const { return running_; }
  const std::set<Sample *, bool (*)(const Sample *, const Sample *)> &waiting() const {
    return waiting_;
  }
  uint64_t preemptions() const { return preemptions_; }

private:
  struct Shape {
    uint32_t tokens = 0, rows = 0, maxQ = 0;
    HeadKind head = HeadKind::Argmax;
  };

  static bool before(const Sample *a, const Sample *b) { return a->order < b->order; }

  bool decodes() const;
  uint32_t promptShare() const;
  bool longQueue() const;
  Status planDecodes();
  Status planPrefills();
  Status admit();
  bool extends(const Sample &sample, uint32_t tokens, uint32_t rows, Shape &shape) const;
  void draft(Sample &sample);
  uint32_t chunkOf(const Sample &sample) const;
  Result<bool> schedulePrefill(Sample &sample);
  Result<bool> makeRoom(const Sample &sample, uint32_t pages);
  Status preempt(Sample &sample);
  void take(Sample &sample, uint32_t tokens, uint32_t rows, const Shape &shape);
  HeadKind headOf(const Sample &sample) const;

  Executor &executor_;
  Residency &residency_;
  SchedulerLimits limits_;
  std::vector<Sample *> running_; ///< in order
  std::set<Sample *, bool (*)(const Sample *, const Sample *)> waiting_{before};
  std::vector<PlannedItem> *items_ = nullptr; ///< of the step being formed
  Shape shape_;
  uint32_t limit_ = 0;      ///< tokens of the step being formed
  uint32_t promptLeft_ = 0; ///< tokens that chunks may still take of the step being formed
  uint32_t reserved_ = 0;   ///< that guesses leave to chunks
  uint64_t plans_ = 0;
  bool chunkRefused_ = false; ///< in this step, for want of an entry point
  bool chunksFirst_ = false;
  const Sample *blocked_ = nullptr; ///< the first of the queue, when it was last too large
  uint32_t blockedPages_ = 0;       ///< what it lacked then
  uint64_t preemptions_ = 0;
};

} // namespace sinter
