//===- TokenizerJson.h - reads Hugging Face's tokenizer.json ----*- C++ -*-===//
//
// Turns the file into plain settings, and refuses, naming the key, everything whose effect on ids
// or text is not implemented: nothing is accepted and then ignored. Vocabulary and merges, nearly
// all of the file, go straight into two arrays without a JSON tree.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sinter/Support/Status.h"

namespace sinter::text {

/// The largest id that a file may use; it bounds the tables that ids index.
constexpr int32_t kMaxTokenId = (1 << 22) - 1;

struct AddedToken {
  int32_t id;
  std::string content;
  bool lstrip;     ///< takes the white space before it along
  bool rstrip;     ///< takes the white space after it along
  bool normalized; ///< looked for in the normalised text, its content normalised too
  bool special;    ///< skipped on request when decoding; may be forbidden when encoding
};

/// Settings of one tokenizer. Strings are as in the file, that is in the byte-level alphabet.
struct TokenizerSpec {
  struct Span {
    uint32_t offset, size;
  };
  struct VocabEntry {
    Span token;
    int32_t id;
  };
  struct Merge {
    Span left, right;
  };

  std::string characters; ///< what the spans point into
  std::vector<VocabEntry> vocab;
  std::vector<Merge> merges; ///< in order of rank
  std::vector<AddedToken> addedTokens;
  std::vector<std::string> splitPatterns; ///< applied one after the other, each to every piece
  bool ignoreMerges = false;              ///< a whole word in the vocabulary is one token
  bool normalizeNfc = false;

  std::string_view text(Span span) const {
    return std::string_view(characters).substr(span.offset, span.size);
  }
};

/// InvalidInput: not JSON (the byte is named), or a value of the wrong type. Unsupported: a setting
/// that Sinter does not implement. Both name the key.
Result<TokenizerSpec> parseTokenizerJson(std::string_view json);

} // namespace sinter::text
