//===- AddedTokens.h - tokens that are found before BPE runs ----*- C++ -*-===//
//
// Finds added tokens in text: at the leftmost position the longest one, then on from its end.
// Offsets are in bytes. Immutable after the last add().
//
//===----------------------------------------------------------------------===//
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/text/TokenizerJson.h"

namespace sinter::text {

class AddedTokenMatcher {
public:
  /// A stretch of text: an added token, or (id -1) text between them.
  struct Piece {
    size_t begin, end;
    int32_t id;
  };

  /// `content` is what is looked for: that of the token, normalised if the text will be.
  /// Of two tokens that are looked for by the same content the first is found.
  void add(std::string content, const AddedToken &token);
  bool empty() const { return tokens_.empty(); }

  /// Cuts all of `text`. Without `allowSpecial` special tokens stay text.
  std::vector<Piece> cut(std::string_view text, bool allowSpecial) const;

private:
  const AddedToken *matchAt(std::string_view text, size_t offset, size_t &length) const;

  std::unordered_map<std::string, AddedToken> tokens_;
  /// By first byte: the lengths of the tokens that start with it, longest first.
  std::array<std::vector<size_t>, 256> lengths_;
};

} // namespace sinter::text
