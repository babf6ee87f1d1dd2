//===- StreamDecoder.cpp - text of a growing list of tokens ---------------===//

#include "runtime/text/StreamDecoder.h"

#include "runtime/text/Unicode.h"

namespace sinter {

std::string StreamDecoder::push(int32_t id) {
  if (skipSpecial_ && tokenizer_.isSpecial(id))
    return {};
  pending_ += tokenizer_.tokenBytes(id);
  std::string text;
  pending_.erase(0, text::appendLossy(text, pending_, /*final=*/false));
  return text;
}

std::string StreamDecoder::flush() {
  std::string text;
  text::appendLossy(text, pending_, /*final=*/true);
  pending_.clear();
  return text;
}

} // namespace sinter
