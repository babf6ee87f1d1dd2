//===- SamplingParams.h - how the next token is picked ----------*- C++ -*-===//
#pragma once

#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/Status.h"

#include <cstdint>
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
  std::vector<std::pair<int32_t, float>> logitBias =
      {}; ///< added to the logits of these ids, each once

  bool greedy() const { return temperature == 0; }
  /// Whether the logits depend on the tokens before.
  bool penalizes() const {
    return repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0;
  }
  bool changesLogits() const { return penalizes() || !logitBias.empty(); }
  /// Whether the next token is simply the one with the largest logit.
  bool takesArgmax() const { return greedy() && !changesLogits(); }
  /// Whether a step with the sample head can pick the next token.
  bool fitsDevice() const { return greedy() || (topK >= 1 && topK <= int64_t(SINTER_MAX_TOP_K)); }
  /// What such a step is told of the row that gives the token at `position`, without its edits.
  SinterSampling forDevice(uint64_t position) const;
  /// What is out of range, by the name of its flag.
  Status check() const;
};

} // namespace sinter
