//===- TokenEdits.h - how a sample's logits change, for the device -*- C++ -*-===//
#pragma once

#include "runtime/engine/SamplingParams.h"

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace sinter {

/// What TokenScores does for one sample as a list of tokens, which grows with what is generated: a
/// step costs what its new tokens do. All calls are about the same parameters.
class TokenEdits {
public:
  /// Tells `row` what changes the logits after `history`, whose first `promptTokens` were not
  /// generated and which begins with that of the call before. Valid until the next call.
  void describe(const SamplingParams &params, std::span<const int32_t> history, size_t promptTokens,
                SinterSampling &row);
  /// The last description's list after some more tokens, which need not come true. A few only: it
  /// searches among them one by one.
  std::vector<SinterTokenEdit> after(std::span<const int32_t> guesses) const;

private:
  SinterTokenEdit &editOf(int32_t token);

  std::vector<SinterTokenEdit> edits_;
  std::unordered_map<int32_t, size_t> places_; ///< in edits_
  size_t counted_ = 0;                         ///< tokens of the history
};

} // namespace sinter
