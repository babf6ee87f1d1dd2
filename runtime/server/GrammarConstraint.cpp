//===- GrammarConstraint.cpp ----------------------------------------------===//
#include "runtime/server/GrammarConstraint.h"

#include <algorithm>

namespace sinter {

bool GrammarConstraint::isEnd(int32_t token) const {
  return std::find(endIds_.begin(), endIds_.end(), token) != endIds_.end();
}

Status GrammarConstraint::allowed(std::span<uint32_t> mask) {
  std::fill(mask.begin(), mask.end(), 0);
  if (matcher_->full())
    return resourceExhausted("the answer's grammar has too many states");
  if (state_ == GrammarMatcher::kDead)
    return internalError("a token does not follow the grammar");
  bool any = false;
  if (!ended_) {
    const std::vector<uint32_t> &next = matcher_->mask(state_);
    std::copy_n(next.begin(), std::min(next.size(), mask.size()), mask.begin());
    any = std::any_of(next.begin(), next.end(), [](uint32_t word) { return word != 0; });
  }
  // End tokens are special, so that the mask so far has none of them.
  if (ended_ || matcher_->accepts(state_))
    for (const int32_t id : endIds_) {
      mask[size_t(id) / 32] |= uint32_t(1) << (id % 32);
      any = true;
    }
  return any ? Status::ok() : unsupported("no token continues what the grammar allows");
}

void GrammarConstraint::accept(int32_t token) {
  if (isEnd(token)) {
    ended_ = true;
    return;
  }
  for (const char byte : tokenizer_.tokenBytes(token))
    if (state_ != GrammarMatcher::kDead)
      state_ = matcher_->next(state_, uint8_t(byte));
}

} // namespace sinter
