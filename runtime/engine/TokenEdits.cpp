//===- TokenEdits.cpp -----------------------------------------------------===//
#include "runtime/engine/TokenEdits.h"

#include <algorithm>

namespace sinter {

SinterTokenEdit &TokenEdits::editOf(int32_t token) {
  const auto [found, isNew] = places_.try_emplace(token, edits_.size());
  if (isNew)
    edits_.push_back({token, 0, 0, 0});
  return edits_[found->second];
}

void TokenEdits::describe(const SamplingParams &params, std::span<const int32_t> history,
                          size_t promptTokens, SinterSampling &row) {
  if (edits_.empty())
    for (const auto &[token, bias] : params.logitBias)
      editOf(token).bias = bias;
  // Only the repetition penalty is about the prompt.
  if (params.repetitionPenalty == 1)
    counted_ = std::max(counted_, promptTokens);
  for (; params.penalizes() && counted_ < history.size(); ++counted_) {
    SinterTokenEdit &edit = editOf(history[counted_]);
    edit.seen = 1;
    edit.generated += counted_ >= promptTokens;
  }
  row.edits = edits_.data();
  row.num_edits = uint32_t(edits_.size());
}

std::vector<SinterTokenEdit> TokenEdits::after(std::span<const int32_t> guesses) const {
  std::vector<SinterTokenEdit> edits = edits_;
  for (const int32_t token : guesses) {
    const auto place = places_.find(token);
    const auto known =
        place != places_.end() ? edits.begin() + ptrdiff_t(place->second) : edits.end();
    const auto edit =
        known != edits.end()
            ? known
            : std::find_if(edits.begin() + ptrdiff_t(edits_.size()), edits.end(),
                           [&](const SinterTokenEdit &e) { return e.token == token; });
    if (edit == edits.end())
      edits.push_back({token, 1, 1, 0});
    else
      edit->seen = 1, ++edit->generated;
  }
  return edits;
}

} // namespace sinter
