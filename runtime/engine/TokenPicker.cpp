//===- TokenPicker.cpp ----------------------------------------------------===//
#include "runtime/engine/TokenPicker.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

namespace sinter {

/// Every sample has a seed of its own.
static SamplingParams paramsOf(const Sample &sample) {
  SamplingParams params = sample.request->request.sampling;
  params.seed += sample.order.sample;
  return params;
}

std::span<const SinterSampling> TokenPicker::describeRows(std::span<const PlannedItem> items) {
  rows_.clear();
  guessed_.clear();
  masked_ = 0;
  for (const PlannedItem &item : items)
    if (item.rows > 0)
      describeItem(item);
  return rows_;
}

void TokenPicker::describeItem(const PlannedItem &item) {
  Sample &sample = *item.sample;
  const Request &request = sample.request->request;
  const std::span<const int32_t> tokens = sample.sequence.tokens();
  const size_t length = tokens.size() - sample.drafted;
  SinterSampling row = request.sampling.forDevice(length);
  row.seed += sample.order.sample;
  if (request.sampling.changesLogits())
    sample.edits.describe(request.sampling, tokens.first(length), request.prompt.size(), row);
  if (sample.constraint)
    row.allowed = maskOf(*sample.constraint);
  for (uint32_t r = 0; r < item.rows; ++r, ++row.position) {
    if (r > 0 && request.sampling.penalizes()) {
      guessed_.push_back(sample.edits.after(tokens.subspan(length, r)));
      row.edits = guessed_.back().data();
      row.num_edits = uint32_t(guessed_.back().size());
    }
    rows_.push_back(row);
  }
}

/// Nothing is allowed where the constraint gives an error: pick() asks it once more then.
const uint32_t *TokenPicker::maskOf(TokenConstraint &constraint) {
  if (masked_ == masks_.size())
    masks_.emplace_back(allowed_.size());
  std::vector<uint32_t> &mask = masks_[masked_++];
  if (!constraint.allowed(mask))
    std::fill(mask.begin(), mask.end(), 0);
  return mask.data();
}

Result<int32_t> TokenPicker::draw(Sampler &sampler, const Sample &sample, size_t length,
                                  const StepOutput &output, size_t row,
                                  std::span<const uint32_t> allowed) const {
  const Request &request = sample.request->request;
  const std::span<const int32_t> tokens = sample.sequence.tokens();
  return sampler.sample(rowOf(output, row), paramsOf(sample), length,
                        {tokens.first(length), request.prompt.size(), allowed});
}

void TokenPicker::prepare(std::span<const PlannedItem> items, const StepOutput &output,
                          HeadKind head) {
  constexpr uint64_t kWorthIt = uint64_t(1) << 16; // logits: some tens of microseconds
  drawn_.clear();
  size_t row = 0;
  for (const PlannedItem &item : items) {
    if (item.rows == 1 && !item.sample->constraint)
      drawn_.push_back({item.sample, row});
    row += item.rows;
  }
  if (head != HeadKind::Logits || drawn_.size() < 2 || drawn_.size() * vocab_ < kWorthIt)
    return drawn_.clear();
  std::mutex mutex;
  device_.hostParallel(uint32_t(drawn_.size()), [&](uint32_t begin, uint32_t end) {
    Sampler sampler; // with the buffers of one that has worked before
    {
      const std::lock_guard lock(mutex);
      if (!samplers_.empty()) {
        sampler = std::move(samplers_.back());
        samplers_.pop_back();
      }
    }
    for (uint32_t i = begin; i < end; ++i) {
      const Sample &sample = *drawn_[i].sample;
      drawn_[i].token =
          draw(sampler, sample, sample.sequence.tokens().size(), output, drawn_[i].row, {});
    }
    const std::lock_guard lock(mutex);
    samplers_.push_back(std::move(sampler));
  });
}

Result<int32_t> TokenPicker::pick(Sample &sample, size_t length, const StepOutput &output,
                                  size_t row, HeadKind head) {
  if (head != HeadKind::Logits) {
    const int32_t token = output.argmaxIndex[row];
    if (output.argmaxValue[row] == -std::numeric_limits<float>::infinity()) {
      if (sample.constraint)
        SINTER_RETURN_IF_ERROR(sample.constraint->allowed(allowed_));
      return invalidArgument("no token is allowed at position " + std::to_string(length));
    }
    if (!std::isfinite(output.argmaxValue[row]) || token < 0 || uint64_t(token) >= vocab_)
      return internalError("the logits for position " + std::to_string(length) + " are not finite");
    return token;
  }
  const auto drawn = std::lower_bound(drawn_.begin(), drawn_.end(), row,
                                      [](const Drawn &d, size_t r) { return d.row < r; });
  if (drawn != drawn_.end() && drawn->row == row && drawn->sample == &sample)
    return *drawn->token;
  std::span<const uint32_t> allowed;
  if (sample.constraint) {
    SINTER_RETURN_IF_ERROR(sample.constraint->allowed(allowed_));
    allowed = allowed_;
  }
  return draw(sampler_, sample, length, output, row, allowed);
}

TokenEvent TokenPicker::describe(const Sample &sample, int32_t token, const StepOutput &output,
                                 size_t row) {
  TokenEvent event;
  event.sample = sample.order.sample;
  event.token = token;
  if (const int32_t count = sample.request->request.logprobs; count >= 0) {
    event.logprob = logprobs_.of(rowOf(output, row), token, size_t(count));
    event.likely = logprobs_.likely();
  }
  return event;
}

} // namespace sinter
