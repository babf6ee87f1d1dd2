//===- SamplingParams.cpp -------------------------------------------------===//
#include "runtime/engine/SamplingParams.h"

#include <algorithm>
#include <cmath>

namespace sinter {

SinterSampling SamplingParams::forDevice(uint64_t position) const {
  SinterSampling row = {};
  row.temperature = temperature;
  row.top_p = topP;
  row.min_p = minP;
  row.seed = seed;
  row.position = position;
  row.top_k = greedy() ? 1 : uint32_t(topK);
  row.repetition = float(repetitionPenalty);
  row.presence = float(presencePenalty);
  row.frequency = float(frequencyPenalty);
  return row;
}

Status SamplingParams::check() const {
  if (!(temperature >= 0) || !std::isfinite(temperature))
    return invalidArgument("temperature: expected a number of at least 0");
  if (topK < 0)
    return invalidArgument("top-k: expected 0 (off) or more");
  if (!(topP > 0 && topP <= 1))
    return invalidArgument("top-p: expected more than 0 and at most 1");
  if (!(minP >= 0 && minP <= 1))
    return invalidArgument("min-p: expected 0 to 1");
  if (!(repetitionPenalty > 0) || !std::isfinite(repetitionPenalty))
    return invalidArgument("repetition-penalty: expected a number above 0");
  if (!std::isfinite(presencePenalty))
    return invalidArgument("presence-penalty: expected a number");
  if (!std::isfinite(frequencyPenalty))
    return invalidArgument("frequency-penalty: expected a number");
  for (const auto &[token, bias] : logitBias)
    if (token < 0 || !std::isfinite(bias))
      return invalidArgument("logit-bias: expected token ids and numbers");
  std::vector<std::pair<int32_t, float>> biases = logitBias;
  std::sort(biases.begin(), biases.end());
  const auto twice =
      std::adjacent_find(biases.begin(), biases.end(),
                         [](const auto &a, const auto &b) { return a.first == b.first; });
  if (twice != biases.end())
    return invalidArgument("logit-bias: token id " + std::to_string(twice->first) +
                           " stands there twice");
  return Status::ok();
}

} // namespace sinter
