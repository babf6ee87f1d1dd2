//===- TokenScores.cpp ----------------------------------------------------===//
#include "runtime/engine/TokenScores.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace sinter {
namespace {

constexpr float kMost = std::numeric_limits<float>::max();

float bounded(float score) { return std::clamp(score, -kMost, kMost); }

} // namespace

std::span<const float> TokenScores::apply(std::span<const float> logits,
                                          const SamplingParams &params,
                                          const SamplingContext &context) {
  if (!params.changesLogits() && context.allowed.empty())
    return logits;
  scores_.assign(logits.begin(), logits.end());
  if (params.repetitionPenalty != 1) {
    const auto factor = float(params.repetitionPenalty);
    for (const int32_t token : context.history) {
      const float logit = logits[size_t(token)]; // of a repeated token as well: it counts once
      scores_[size_t(token)] = bounded(logit < 0 ? logit * factor : logit / factor);
    }
  }
  if (params.presencePenalty != 0 || params.frequencyPenalty != 0) {
    counts_.resize(logits.size());
    const std::span<const int32_t> generated = context.history.subspan(context.promptTokens);
    for (const int32_t token : generated)
      ++counts_[size_t(token)];
    for (const int32_t token : generated)
      if (const uint32_t count = std::exchange(counts_[size_t(token)], 0))
        scores_[size_t(token)] = bounded(scores_[size_t(token)] - float(params.presencePenalty) -
                                         float(params.frequencyPenalty) * float(count));
  }
  for (const auto &[token, bias] : params.logitBias)
    if (size_t(token) < scores_.size())
      scores_[size_t(token)] = bounded(scores_[size_t(token)] + bias);
  if (!context.allowed.empty())
    for (size_t id = 0; id < scores_.size(); ++id)
      if (!(context.allowed[id / 32] >> (id % 32) & 1))
        scores_[id] = -std::numeric_limits<float>::infinity();
  return scores_;
}

} // namespace sinter
