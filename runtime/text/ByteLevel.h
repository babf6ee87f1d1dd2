//===- ByteLevel.h - the 256 printable stand-ins for bytes ------*- C++ -*-===//
//
// tokenizer.json writes each byte of a token as one printable character: the printable ones of
// Latin-1 stand for themselves, the other 68 for U+0100 and up in order (so ' ' is U+0120).
//
//===----------------------------------------------------------------------===//
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/text/Unicode.h"

namespace sinter::text {

/// The code point that stands for each byte.
inline const std::array<char16_t, 256> &byteLevelAlphabet() {
  static const std::array<char16_t, 256> alphabet = [] {
    std::array<char16_t, 256> points{};
    char16_t next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      points[b] = printable ? static_cast<char16_t>(b) : next++;
    }
    return points;
  }();
  return alphabet;
}

/// The bytes that a token's characters stand for; nothing if one is outside the alphabet.
inline std::optional<std::string> fromByteLevel(std::string_view token) {
  static const std::array<int16_t, 0x144> byteOf = [] {
    std::array<int16_t, 0x144> bytes;
    bytes.fill(-1);
    for (unsigned b = 0; b < 256; ++b)
      bytes[byteLevelAlphabet()[b]] = static_cast<int16_t>(b);
    return bytes;
  }();
  std::string out;
  for (size_t i = 0; i < token.size();) {
    CodePoint point = decodeAt(token, i);
    if (point.value >= byteOf.size() || byteOf[point.value] < 0)
      return std::nullopt;
    out += static_cast<char>(byteOf[point.value]);
    i += point.bytes;
  }
  return out;
}

} // namespace sinter::text
