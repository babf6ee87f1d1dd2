//===- StreamDecoder.h - text of a growing list of tokens -------*- C++ -*-===//
//
// Tokens end anywhere within a code point. push() gives out what is complete and keeps the rest, at
// most 3 bytes, so that everything given out is valid UTF-8 and the pieces joined, flush()
// included, are exactly Tokenizer::decode() of all the ids.
//
// One StreamDecoder per sequence; not for use by two threads at once.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <string>

#include "runtime/text/Tokenizer.h"

namespace sinter {

class StreamDecoder {
public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skipSpecial = false)
      : tokenizer_(std::move(tokenizer)), skipSpecial_(skipSpecial) {}

  /// The text that `id` completed; often empty.
  std::string push(int32_t id);
  /// The end of the sequence: U+FFFD if it stopped within a code point. Ready for another one.
  std::string flush();

private:
  Tokenizer tokenizer_;
  bool skipSpecial_;
  std::string pending_; ///< start of a code point
};

} // namespace sinter
