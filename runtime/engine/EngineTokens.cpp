//===- EngineTokens.cpp - from a step's outputs to listeners --------------===//
#include "runtime/engine/Engine.h"

#include <algorithm>

namespace sinter {
namespace {

double secondsBetween(std::chrono::steady_clock::time_point from,
                      std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

} // namespace

/// What a sample's part of the step gave; `row` is its first row.
void Engine::accept(const PlannedItem &item, size_t row) {
  if (item.rows == 0) {
    item.sample->sequence.publish();
    return item.sample->sequence.dropUnseen();
  }
  if (ActiveRequest &request = *item.sample->request; !request.branched)
    branch(request, row);
  acceptRows(*item.sample, row, item.rows);
}

/// The prompt's last row is there: all samples draw their first token from it. The other samples
/// then wait; they find the prompt's full pages in the prefix cache and compute only what lies
/// behind them.
void Engine::branch(ActiveRequest &request, size_t row) {
  request.branched = true;
  const Sample &first = *request.samples.front();
  for (size_t i = 1; i < request.samples.size(); ++i) {
    Sample &sample = *request.samples[i];
    sample.sequence.append(request.request.prompt);
    if (first.constraint)
      sample.constraint = first.constraint->clone();
    acceptRows(sample, row, 1);
    if (sample.state == Sample::State::Ended)
      continue;
    sample.state = Sample::State::Preempted;
    scheduler_.add(sample);
  }
}

/// Goes along the rows as long as the guesses in the sequence are what the rows say.
void Engine::acceptRows(Sample &sample, size_t row, uint32_t rows) {
  Sequence &sequence = sample.sequence;
  const uint32_t guesses = std::exchange(sample.drafted, 0);
  const auto length = uint32_t(sequence.tokens().size()) - guesses;
  figures_.guessedTokens += guesses;
  FinishReason reason = FinishReason::None;
  bool guessed = true;
  for (uint32_t r = 0; r < rows && guessed && reason == FinishReason::None; ++r) {
    const auto token = picker_.pick(sample, length + r, output_, row + r, scheduler_.head());
    if (!token) {
      sequence.truncate(length + r);
      return finish(sample, FinishReason::Failed, token.status());
    }
    guessed = length + r < sequence.tokens().size() && sequence.tokens()[length + r] == *token;
    if (endsAt(sample.request->request, *token)) {
      sequence.truncate(length + r);
      reason = FinishReason::Eos;
      break;
    }
    if (!guessed) {
      sequence.truncate(length + r);
      sequence.append(*token);
    }
    figures_.acceptedGuesses += guessed;
    reason = take(sample, *token, row + r);
    if (reason != FinishReason::None)
      sequence.truncate(length + r + 1);
  }
  sequence.publish();
  sequence.dropUnseen();
  if (reason != FinishReason::None)
    finish(sample, reason);
}

bool Engine::endsAt(const Request &request, int32_t token) const {
  const std::vector<int32_t> &eos = executor_.manifest().model.eos, &stop = request.stopIds;
  return (!request.ignoreEos && std::find(eos.begin(), eos.end(), token) != eos.end()) ||
         std::find(stop.begin(), stop.end(), token) != stop.end();
}

/// One more token of a sample, which is in its sequence already.
FinishReason Engine::take(Sample &sample, int32_t token, size_t row) {
  ActiveRequest &request = *sample.request;
  if (sample.constraint)
    sample.constraint->accept(token);
  if (sample.generated > 0)
    figures_.interToken.add(secondsBetween(sample.lastToken, computed_));
  else if (sample.order.sample == 0)
    figures_.timeToFirstToken.add(secondsBetween(request.arrival, computed_));
  sample.lastToken = computed_;
  ++sample.generated;
  ++request.usage.completionTokens;
  ++figures_.generatedTokens;
  if (!request.listener->onToken(picker_.describe(sample, token, output_, row)))
    return FinishReason::Stopped;
  return sample.generated == request.request.maxTokens ? FinishReason::Length : FinishReason::None;
}

} // namespace sinter
