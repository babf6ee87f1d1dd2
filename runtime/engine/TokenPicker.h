//===- TokenPicker.h - a step's outputs to one sample's token ---*- C++ -*-===//
#pragma once

#include "runtime/engine/Executor.h"
#include "runtime/engine/Logprobs.h"
#include "runtime/engine/Sample.h"
#include "runtime/engine/Sampler.h"
#include "runtime/engine/Scheduler.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace sinter {

class TokenPicker {
public:
  explicit TokenPicker(Device &device, uint64_t vocab)
      : device_(device), vocab_(vocab), allowed_((vocab + 31) / 32) {}

  /// What a step with HeadKind::Sample is told of the items' rows. Valid until the next call.
  std::span<const SinterSampling> describeRows(std::span<const PlannedItem> items);
  /// Draws on several threads what the rows of samples that ask for one token each give, where that
  /// is worth it; pick() then only hands it out.
  void prepare(std::span<const PlannedItem> items, const StepOutput &output, HeadKind head);

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

  void describeItem(const PlannedItem &item);
  const uint32_t *maskOf(TokenConstraint &constraint);
  Result<int32_t> draw(Sampler &sampler, const Sample &sample, size_t length,
                       const StepOutput &output, size_t row,
                       std::span<const uint32_t> allowed) const;

  struct Drawn {
    const Sample *sample;
    size_t row;
    std::optional<Result<int32_t>> token = {};
  };

  Device &device_;
  uint64_t vocab_;
  std::vector<SinterSampling> rows_;
  std::vector<std::vector<SinterTokenEdit>> guessed_; ///< edits behind guesses
  std::vector<std::vector<uint32_t>> masks_;          ///< the first `masked_` of them are of rows_
  size_t masked_ = 0;
  Sampler sampler_;
  std::vector<Sampler> samplers_; ///< of the other threads
  std::vector<Drawn> drawn_;      ///< in the order of rows
  Logprobs logprobs_;
  std::vector<uint32_t> allowed_;
};

} // namespace sinter
