//===- Sampler.h - logits to the next token ---------------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace sinter {

struct SamplingParams {
  double temperature = 1.0; ///< 0: greedy
  int64_t topK = 0;         ///< 0: off
  double topP = 1.0;        ///< 1: off
  double minP = 0.0;        ///< 0: off
  uint64_t seed = 0;
  double repetitionPenalty = 1.0; ///< 1: off; above 1: less of what there was before
  double presencePenalty = 0;     ///< 0: off; subtracted from logits of tokens generated before
  double frequencyPenalty = 0;    ///< 0: off; the same, times how often they were generated
  std::vector<std::pair<int32_t, float>> logitBias; ///< added to the logits of these ids

  bool greedy() const { return temperature == 0; }
  /// What is out of range, by the name of its flag.
  Status check() const;
};

/// Picks tokens. The filters work in the order of Hugging Face's logits processors: repetition
/// penalty, temperature, top-k (everything that ties with the k-th stays), top-p over what is left,
/// min-p relative to the most likely token. The draw is a pure function of logits, history,
/// parameters and position: the seed keys a Philox generator and the position is its counter.
class Sampler {
public:
  /// The token for `position`, the one after the token whose logits these are. Greedy picks the
  /// largest logit, the lowest id among equals. A logit that is not finite is an error. `history`
  /// holds the tokens, prompt and generated, that the repetition penalty applies to: ids within
  /// `logits`, in any order, as often as they like.
  Result<int32_t> sample(std::span<const float> logits, const SamplingParams &params,
                         uint64_t position, std::span<const int32_t> history = {});

private:
  struct Candidate {
    int32_t id;
    float logit;
    double weight; ///< exp((logit - largest) / temperature)
  };

  std::span<const float> penalise(std::span<const float> logits, double penalty,
                                  std::span<const int32_t> history);
  void keepTopK(int64_t k);
  void keepTopP(double p);

  std::vector<Candidate> candidates_;
  std::vector<float> ordered_;
  std::vector<float> penalised_;
};

} // namespace sinter
