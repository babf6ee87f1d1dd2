//===- Sampler.cpp --------------------------------------------------------===//
#include "runtime/engine/Sampler.h"

#include "sinter/Support/Philox.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace sinter {

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
  return Status::ok();
}

/// Divides positive and multiplies negative logits of what occurred, in f32 like transformers.
std::span<const float> Sampler::penalise(std::span<const float> logits, double penalty,
                                         std::span<const int32_t> history) {
  penalised_.assign(logits.begin(), logits.end());
  const auto factor = float(penalty);
  for (const int32_t token : history) {
    const float logit = logits[size_t(token)]; // of a repeated token as well: it counts once
    penalised_[size_t(token)] = logit < 0 ? logit * factor : logit / factor;
  }
  return penalised_;
}

void Sampler::keepTopK(int64_t k) {
  if (k == 0 || size_t(k) >= candidates_.size())
    return;
  ordered_.clear();
  for (const Candidate &candidate : candidates_)
    ordered_.push_back(candidate.logit);
  const auto kth = ordered_.begin() + (k - 1);
  std::nth_element(ordered_.begin(), kth, ordered_.end(), std::greater<>());
  const float threshold = *kth;
  std::erase_if(candidates_, [&](const Candidate &c) { return c.logit < threshold; });
}

void Sampler::keepTopP(double p) {
  if (p >= 1)
    return;
  double total = 0;
  for (const Candidate &candidate : candidates_)
    total += candidate.weight;
  // All tokens below this weight together make up less than 1 - p, so none of them stays. The
  // margin keeps rounding on the safe side; the exact cut follows.
  const double negligible = 0.5 * (1 - p) * total / double(candidates_.size());
  std::erase_if(candidates_, [&](const Candidate &c) { return c.weight < negligible; });
  std::sort(candidates_.begin(), candidates_.end(), [](const Candidate &a, const Candidate &b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
  double before = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && (kept == 0 || before < p * total))
    before += candidates_[kept++].weight;
  candidates_.resize(kept);
}

Result<int32_t> Sampler::sample(std::span<const float> logits, const SamplingParams &params,
                                uint64_t position, std::span<const int32_t> history) {
  if (params.repetitionPenalty != 1)
    logits = penalise(logits, params.repetitionPenalty, history);
  size_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i]))
      return internalError("the logits for position " + std::to_string(position) +
                           " are not finite (token id " + std::to_string(i) + ")");
    if (logits[i] > logits[best])
      best = i;
  }
  if (params.greedy())
    return int32_t(best);

  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    candidates_[i] = {int32_t(i), logits[i], 0};
  keepTopK(params.topK);
  const double largest = logits[best];
  for (Candidate &candidate : candidates_)
    candidate.weight = std::exp((double(candidate.logit) - largest) / params.temperature);
  keepTopP(params.topP);
  std::erase_if(candidates_, [&](const Candidate &c) { return c.weight < params.minP; });

  double total = 0;
  for (const Candidate &candidate : candidates_)
    total += candidate.weight;
  double left = double(uniform(params.seed, position, 0)) * total;
  for (const Candidate &candidate : candidates_) {
    left -= candidate.weight;
    if (left < 0)
      return candidate.id;
  }
  // Rounding left a crumb at the end: the last token that can be drawn at all.
  const auto last = std::find_if(candidates_.rbegin(), candidates_.rend(),
                                 [](const Candidate &c) { return c.weight > 0; });
  return last->id;
}

} // namespace sinter
