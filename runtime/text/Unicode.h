//===- Unicode.h - code points as Hugging Face tokenizers sees them -*- C++ -*-===//
//
// UTF-8 decoding, general categories, white space and NFC. Token ids depend on which version of
// Unicode each of these comes from, so categories are those of the regex engine of Hugging Face
// `tokenizers` and NFC leaves alone every mark that its normaliser does not know. The tables are
// probed from that library by make_unicode_tables.py.
//
// Offsets and lengths are in bytes. Nothing here allocates except nfc().
//
//===----------------------------------------------------------------------===//
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sinter::text {

/// Unicode general categories; the order is that of the generated table.
// clang-format off
enum class Category : uint8_t {
  Cn, Lu, Ll, Lt, Lm, Lo, Mn, Mc, Me, Nd, Nl, No, Pc, Pd, Ps, Pe, Pi, Pf, Po, Sm, Sc, Sk, So, Zs,
  Zl, Zp, Cc, Cf, Co, Cs,
};
// clang-format on

/// What one code point is, packed in a byte: category, `\s`, and whether NFC can touch it.
class CharClass {
public:
  constexpr CharClass() = default;
  constexpr explicit CharClass(uint8_t bits) : bits_(bits) {}
  Category category() const { return static_cast<Category>(bits_ & 31); }
  bool isLetter() const { return inCategories(Category::Lu, Category::Lo); }
  bool isNumber() const { return inCategories(Category::Nd, Category::No); }
  bool isSpace() const { return bits_ & kSpace; }
  bool isNfcActive() const { return bits_ & kNfcActive; }

  static constexpr uint8_t kSpace = 32;
  static constexpr uint8_t kNfcActive = 64;

private:
  bool inCategories(Category first, Category last) const {
    return category() >= first && category() <= last;
  }
  uint8_t bits_ = 0;
};

/// Class of any code point up to U+10FFFF.
CharClass classOf(char32_t codePoint);

/// A code point and its length in bytes.
struct CodePoint {
  char32_t value;
  uint32_t bytes;
};

/// Decodes the code point at `text[offset]`; `text` is valid UTF-8 and `offset` starts one.
inline CodePoint decodeAt(std::string_view text, size_t offset) {
  const auto *p = reinterpret_cast<const unsigned char *>(text.data()) + offset;
  if (p[0] < 0x80)
    return {p[0], 1};
  if (p[0] < 0xE0)
    return {static_cast<char32_t>((p[0] & 0x1F) << 6 | (p[1] & 0x3F)), 2};
  if (p[0] < 0xF0)
    return {static_cast<char32_t>((p[0] & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F)), 3};
  return {static_cast<char32_t>((p[0] & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 |
                                (p[3] & 0x3F)),
          4};
}

/// Start of the code point that ends at `offset` (exclusive, > 0) of valid UTF-8.
inline size_t previousStart(std::string_view text, size_t offset) {
  do
    --offset;
  while (offset > 0 && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80);
  return offset;
}

/// Appends the UTF-8 form of a code point.
void appendUtf8(std::string &out, char32_t codePoint);

/// Reads one sequence at the start of `bytes` (not empty) by the rules of the Unicode standard.
struct Utf8Step {
  enum Kind { Valid, Invalid, Truncated } kind;
  /// Valid: length of the code point. Invalid: length of the maximal subpart that one U+FFFD
  /// replaces. Truncated: all of `bytes`, a proper prefix of some code point.
  uint32_t bytes;
};
Utf8Step stepUtf8(std::string_view bytes);

/// Offset of the first byte that is not part of valid UTF-8.
std::optional<size_t> findInvalidUtf8(std::string_view text);

/// Appends `bytes` to `out` with each ill-formed subpart as U+FFFD. Unless `final`, a truncated
/// sequence at the end is left; returns how many bytes were consumed.
size_t appendLossy(std::string &out, std::string_view bytes, bool final);

/// NFC of valid UTF-8, or nothing when `text` is already in that form and can be used as it is.
std::optional<std::string> nfc(std::string_view text);

/// The sorted, inclusive ranges of code points whose category bit (1 << Category) is in `mask`.
std::string rangesAsRegexClass(uint32_t mask);
/// The same for `\s`.
std::string spaceAsRegexClass();

} // namespace sinter::text
