//===- Logprobs.h - logits to log-probabilities -----------------*- C++ -*-===//
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sinter {

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0; ///< natural logarithm, of the distribution before temperature and filters
};

/// Of softmax(logits), as the model gave them: before penalties, bias and constraints as well.
class Logprobs {
public:
  /// The log-probability of `token`; `likely()` holds the `count` most likely ones then, most
  /// likely first, the lowest id among equals.
  float of(std::span<const float> logits, int32_t token, size_t count);
  std::span<const TokenLogprob> likely() const { return likely_; }

private:
  std::vector<TokenLogprob> likely_;
};

} // namespace sinter
