//===- Sample.h - one continuation of one request ---------------*- C++ -*-===//
#pragma once

#include "runtime/engine/Request.h"
#include "runtime/engine/Sequence.h"
#include "runtime/engine/SwapSpace.h"
#include "runtime/engine/TokenEdits.h"

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace sinter {

struct ActiveRequest;

/// What goes first. A request ranks as if it had arrived `agingSteps` steps earlier for every level
/// of priority. The order of two samples never changes, so the first of all is never held up by
/// another, and everything becomes the first one day: nothing starves.
struct ScheduleOrder {
  int64_t rank = 0;
  RequestId request = 0;
  uint32_t sample = 0;

  auto operator<=>(const ScheduleOrder &) const = default;
};

struct Sample {
  enum class State {
    Unborn,    ///< its request's prompt is not computed yet
    Queued,    ///< has never held pages
    Running,   ///< holds pages
    Preempted, ///< has given them up, or has shared its prompt's so far
    Ended,
  };

  Sample(ActiveRequest &request, const ScheduleOrder &order, Sequence sequence)
      : request(&request), order(order), sequence(std::move(sequence)) {}

  ActiveRequest *request;
  ScheduleOrder order;
  Sequence sequence;
  State state = State::Unborn;
  uint32_t generated = 0;
  uint32_t drafted = 0;   ///< tokens at the sequence's end that are guesses, while a step is formed
  uint64_t plannedIn = 0; ///< the scheduler's number of the last step with this sample in it
  std::unique_ptr<TokenConstraint> constraint; ///< may be null
  TokenEdits edits;
  std::optional<SwappedPages> swapped;
  std::chrono::steady_clock::time_point lastToken;

  /// Takes the guesses back.
  void dropDraft() {
    sequence.truncate(uint32_t(sequence.tokens().size()) - drafted);
    drafted = 0;
  }
};

struct ActiveRequest {
  RequestId id = 0;
  Request request;
  std::shared_ptr<RequestListener> listener;
  PrefixNode root;
  std::vector<std::unique_ptr<Sample>> samples;
  uint32_t unfinished = 0;
  bool constrained = false; ///< its constraint has gone to the samples
  bool started = false;     ///< its prompt has been in a step
  bool branched = false;    ///< the prompt is computed and every sample has its first token
  FinishReason reason = FinishReason::None; ///< the last one, in the order of the enum
  Usage usage;
  std::chrono::steady_clock::time_point arrival;

  /// Whether its next token takes more than a step that gives tokens knows. A constraint does not
  /// say what it would allow behind guesses.
  bool needsLogits() const {
    return request.logprobs >= 0 || (constrained && request.promptLookup > 0);
  }
};

} // namespace sinter
