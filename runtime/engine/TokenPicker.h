//===- TokenPicker.h - a step's outputs to one sample's token ---*- C++ -*-===//
#pragma once

#include "runtime/engine/Executor.h"
#include "runtime/engine/Logprobs.h"
#include "runtime/engine/Sample.h"
#include "runtime/engine/Sampler.h"

#include <cstdint>
#include <vector>

namespace sinter {

class TokenPicker {
public:
  explicit TokenPicker(uint64_t vocab) : vocab_(vocab), allowed_((vocab + 31) / 32) {}

  /// The token that follows the first `length` tokens of the sample, whose logits are row `row`.
  /// An error concerns this sample only: logits that are not finite, a constraint that allows
  /// nothing.
  Result<int32_t> pick(Sample &sample, size_t length, const StepOutput &output, size_t row,
                       HeadKind head);
  /// The token as its listener is told. Valid until the next call.
  TokenEvent describe(const Sample &sample, int32_t token, const StepOutput &output, size_t row);

private:
  std::span<const float> rowOf(const StepOutput &output, size_t row) const {
    return {output.logits.data() + row * vocab_, vocab_};
  }

  uint64_t vocab_;
  Sampler sampler_;
  Logprobs logprobs_;
  std::vector<uint32_t> allowed_;
};

} // namespace sinter
