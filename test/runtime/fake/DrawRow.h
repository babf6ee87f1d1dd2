//===- DrawRow.h - what fake devices do with the sample head ----*- C++ -*-===//
#pragma once

#include "runtime/engine/Sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sinter::fake {

/// Changes a row's logits as the contract has it, but for the mask. `edits`: where the caller can
/// read those of `how`.
inline void editRow(std::span<float> logits, const SinterSampling &how,
                    const SinterTokenEdit *edits) {
  constexpr float kMost = std::numeric_limits<float>::max();
  for (uint32_t i = 0; i < how.num_edits; ++i) {
    const SinterTokenEdit &edit = edits[i];
    if (size_t(edit.token) >= logits.size())
      continue;
    float &x = logits[size_t(edit.token)];
    if (edit.seen)
      x = std::clamp(x < 0 ? x * how.repetition : x / how.repetition, -kMost, kMost);
    if (edit.generated)
      x = std::clamp(x - how.presence - how.frequency * float(edit.generated), -kMost, kMost);
    x = std::clamp(x + edit.bias, -kMost, kMost);
  }
}

struct DrawnToken {
  float value = 0;
  int32_t index = 0;
};

/// The token of a row, whose mask is `allowed`, null where it has none.
inline DrawnToken drawRow(std::span<const float> logits, const SinterSampling &how,
                          const SinterTokenEdit *edits, const uint32_t *allowed) {
  if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); }))
    return {std::numeric_limits<float>::quiet_NaN(), 0};
  std::vector<float> scores(logits.begin(), logits.end());
  editRow(scores, how, edits);
  SamplingParams params;
  params.temperature = how.temperature;
  params.topK = how.top_k;
  params.topP = how.top_p;
  params.minP = how.min_p;
  params.seed = how.seed;
  SamplingContext context;
  if (allowed)
    context.allowed = {allowed, (scores.size() + 31) / 32};
  const Result<int32_t> token = Sampler().sample(scores, params, how.position, context);
  if (!token)
    return {-std::numeric_limits<float>::infinity(), 0};
  return {scores[size_t(*token)], *token};
}

} // namespace sinter::fake
