//===- TokenPicker.cpp ----------------------------------------------------===//
#include "runtime/engine/TokenPicker.h"

#include <cmath>

namespace sinter {

Result<int32_t> TokenPicker::pick(Sample &sample, size_t length, const StepOutput &output,
                                  size_t row, HeadKind head) {
  if (head == HeadKind::Argmax) {
    const int32_t token = output.argmaxIndex[row];
    if (!std::isfinite(output.argmaxValue[row]) || token < 0 || uint64_t(token) >= vocab_)
      return internalError("the logits for position " + std::to_string(length) + " are not finite");
    return token;
  }
  const Request &request = sample.request->request;
  const std::span<const int32_t> tokens = sample.sequence.tokens();
  SamplingContext context = {tokens.first(length), request.prompt.size(), {}};
  if (sample.constraint) {
    SINTER_RETURN_IF_ERROR(sample.constraint->allowed(allowed_));
    context.allowed = allowed_;
  }
  SamplingParams params = request.sampling;
  params.seed += sample.order.sample;
  return sampler_.sample(rowOf(output, row), params, length, context);
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
