//===- Logprobs.cpp -------------------------------------------------------===//
#include "runtime/engine/Logprobs.h"

#include <algorithm>
#include <cmath>

namespace sinter {

float Logprobs::of(std::span<const float> logits, int32_t token, size_t count) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits)
    sum += std::exp(double(logit) - largest);
  const double scale = largest + std::log(sum);
  auto before = [](const TokenLogprob &a, const TokenLogprob &b) {
    return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
  };
  likely_.clear();
  count = std::min(count, logits.size());
  // A heap whose top is the least likely of the best so far: one comparison for most tokens.
  for (size_t id = 0; id < logits.size() && count > 0; ++id) {
    const TokenLogprob next = {int32_t(id), logits[id]};
    if (likely_.size() == count) {
      if (!before(next, likely_.front()))
        continue;
      std::pop_heap(likely_.begin(), likely_.end(), before);
      likely_.pop_back();
    }
    likely_.push_back(next);
    std::push_heap(likely_.begin(), likely_.end(), before);
  }
  std::sort_heap(likely_.begin(), likely_.end(), before);
  for (TokenLogprob &entry : likely_)
    entry.logprob = float(double(entry.logprob) - scale);
  return float(double(logits[size_t(token)]) - scale);
}

} // namespace sinter
