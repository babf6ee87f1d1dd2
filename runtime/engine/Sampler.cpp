//===- Sampler.cpp --------------------------------------------------------===//
#include "runtime/engine/Sampler.h"

#include "sinter/Support/Philox.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace sinter {

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
                                uint64_t position, const SamplingContext &context) {
  for (size_t i = 0; i < logits.size(); ++i)
    if (!std::isfinite(logits[i]))
      return internalError("the logits for position " + std::to_string(position) +
                           " are not finite (token id " + std::to_string(i) + ")");
  const std::span<const float> scores = scores_.apply(logits, params, context);
  const auto best = std::max_element(scores.begin(), scores.end());
  if (std::isinf(*best))
    return invalidArgument("no token is allowed at position " + std::to_string(position));
  if (params.greedy())
    return int32_t(best - scores.begin());

  candidates_.clear();
  for (size_t i = 0; i < scores.size(); ++i)
    if (!std::isinf(scores[i]))
      candidates_.push_back({int32_t(i), scores[i], 0});
  keepTopK(params.topK);
  const double largest = *best;
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
