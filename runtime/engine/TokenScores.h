//===- TokenScores.h - logits as a request wants them changed ---*- C++ -*-===//
#pragma once

#include "runtime/engine/SamplingParams.h"

#include <cstdint>
#include <span>
#include <vector>

namespace sinter {

/// What a sequence has been through and where it may go.
struct SamplingContext {
  /// Prompt and generated tokens: ids within the vocabulary, in any order, as often as they like.
  std::span<const int32_t> history = {};
  size_t promptTokens = 0; ///< how many of them, the first ones, were not generated
  /// Bit id % 32 of word id / 32: the token may come next. Empty: every token may.
  std::span<const uint32_t> allowed = {};
};

/// Changes logits in this order: repetition penalty over the whole history (positive logits
/// divided, negative ones multiplied, once per token), frequency and presence penalty over what was
/// generated, bias, and tokens that are not allowed to minus infinity. f32 like transformers; what
/// overflows stays at the largest float.
class TokenScores {
public:
  /// The scores, [vocab]: `logits` itself where nothing is to be changed. Valid until the next
  /// call.
  std::span<const float> apply(std::span<const float> logits, const SamplingParams &params,
                               const SamplingContext &context);

private:
  std::vector<float> scores_;
  std::vector<uint32_t> counts_; ///< [vocab], zero between calls
};

} // namespace sinter
