//===- Sampler.h - logits to the next token ---------------------*- C++ -*-===//
#pragma once

#include "runtime/engine/SamplingParams.h"
#include "runtime/engine/TokenScores.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <span>
#include <vector>

namespace sinter {

/// Picks tokens. The filters work in the order of Hugging Face's logits processors: what
/// TokenScores changes, temperature, top-k (everything that ties with the k-th stays), top-p over
/// what is left, min-p relative to the most likely token. The draw is a pure function of logits,
/// history, parameters and position: the seed keys a Philox generator and the position is its
/// counter.
class Sampler {
public:
  /// The token for `position`, the one after the token whose logits these are. Greedy picks the
  /// largest score, the lowest id among equals. A logit that is not finite is an error, and so is a
  /// context that allows no token.
  Result<int32_t> sample(std::span<const float> logits, const SamplingParams &params,
                         uint64_t position, const SamplingContext &context = {});

private:
  struct Candidate {
    int32_t id;
    float logit;
    double weight; ///< exp((logit - largest) / temperature)
  };

  void keepTopK(int64_t k);
  void keepTopP(double p);

  std::vector<Candidate> candidates_;
  std::vector<float> ordered_;
  TokenScores scores_;
};

} // namespace sinter
