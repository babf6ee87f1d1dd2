//===- Sampler.cpp --------------------------------------------------------===//
#include "runtime/engine/Sampler.h"

#include "sinter/Support/Philox.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace sinter {

namespace {

/// The largest value, or the first one that is not finite. Sixteen maxima side by side, so that
/// they become vector instructions.
float largestOf(std::span<const float> values) {
  constexpr size_t kLanes = 16;
  std::array<float, kLanes> most;
  most.fill(-std::numeric_limits<float>::infinity());
  std::array<float, kLanes> check = {}; // 0 * x is 0 for what is finite and NaN for what is not
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) {
      most[lane] = values[i + lane] > most[lane] ? values[i + lane] : most[lane];
      check[lane] += 0 * values[i + lane];
    }
  for (; i < values.size(); ++i) {
    most[0] = std::max(most[0], values[i]);
    check[0] += 0 * values[i];
  }
  for (size_t lane = 1; lane < kLanes; ++lane)
    check[0] += check[lane];
  if (!std::isfinite(check[0]))
    return std::numeric_limits<float>::quiet_NaN();
  return *std::max_element(most.begin(), most.end());
}

} // namespace

/// What the k-th largest score is; minus infinity without a limit.
float Sampler::kthLargest(std::span<const float> scores, int64_t k) {
  if (k == 0 || size_t(k) >= scores.size())
    return -std::numeric_limits<float>::infinity();
  constexpr int64_t kSmall = 1024;
  const auto count = ptrdiff_t(k);
  if (k > kSmall) {
    ordered_.assign(scores.begin(), scores.end());
    const auto kth = ordered_.begin() + (count - 1);
    std::nth_element(ordered_.begin(), kth, ordered_.end(), std::greater<>());
    return *kth;
  }
  // A heap with the least of the largest on top: one comparison for most scores.
  ordered_.assign(scores.begin(), scores.begin() + count);
  std::make_heap(ordered_.begin(), ordered_.end(), std::greater<>());
  for (const float score : scores.subspan(size_t(count))) {
    if (score <= ordered_.front())
      continue;
    std::pop_heap(ordered_.begin(), ordered_.end(), std::greater<>());
    ordered_.back() = score;
    std::push_heap(ordered_.begin(), ordered_.end(), std::greater<>());
  }
  return ordered_.front();
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
  float most = largestOf(logits);
  if (std::isnan(most)) {
    const auto bad =
        std::find_if(logits.begin(), logits.end(), [](float x) { return !std::isfinite(x); });
    return internalError("the logits for position " + std::to_string(position) +
                         " are not finite (token id " + std::to_string(bad - logits.begin()) + ")");
  }
  const std::span<const float> scores = scores_.apply(logits, params, context);
  if (scores.data() != logits.data())
    most = *std::max_element(scores.begin(), scores.end());
  if (std::isinf(most))
    return invalidArgument("no token is allowed at position " + std::to_string(position));
  if (params.greedy())
    return int32_t(std::find(scores.begin(), scores.end(), most) - scores.begin());

  const float least = kthLargest(scores, params.topK);
  candidates_.clear();
  for (size_t i = 0; i < scores.size(); ++i)
    if (scores[i] >= least && !std::isinf(scores[i]))
      candidates_.push_back({int32_t(i), scores[i], 0});
  const double largest = most;
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
