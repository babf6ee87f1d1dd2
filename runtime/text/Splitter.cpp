//===- Splitter.cpp - hand-written scanners for the known patterns --------===//

#include "runtime/text/Splitter.h"

#include <array>

#include "runtime/text/Unicode.h"

namespace sinter::text {

const std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

/// The four classes that the known patterns tell apart, and the end of the text.
enum Kind : uint8_t { Letter, Number, Space, Other, End };

Kind kindOf(CharClass c) {
  return c.isLetter() ? Letter : c.isNumber() ? Number : c.isSpace() ? Space : Other;
}

/// A position in the text with the class of the code point there.
class Cursor {
public:
  Cursor(std::string_view text, size_t offset) : text_(text), offset_(offset) { read(); }

  size_t offset() const { return offset_; }
  Kind kind() const { return kind_; }
  char32_t value() const { return value_; }
  bool isNewline() const { return value_ == '\n' || value_ == '\r'; }

  void next() {
    offset_ += bytes_;
    read();
  }
  void skip(Kind kind) {
    while (kind_ == kind)
      next();
  }

private:
  void read() {
    static const std::array<Kind, 128> ascii = [] {
      std::array<Kind, 128> kinds{};
      for (char32_t c = 0; c < 128; ++c)
        kinds[c] = kindOf(classOf(c));
      return kinds;
    }();
    if (offset_ >= text_.size()) {
      kind_ = End;
      value_ = 0;
      bytes_ = 0;
      return;
    }
    auto byte = static_cast<unsigned char>(text_[offset_]);
    if (byte < 0x80) {
      kind_ = ascii[byte];
      value_ = byte;
      bytes_ = 1;
      return;
    }
    CodePoint point = decodeAt(text_, offset_);
    kind_ = kindOf(classOf(point.value));
    value_ = point.value;
    bytes_ = point.bytes;
  }

  std::string_view text_;
  size_t offset_;
  char32_t value_ = 0;
  uint32_t bytes_ = 0;
  Kind kind_ = End;
};

/// ASCII lower case; U+017F folds to 's' as in every caseless engine.
char32_t fold(char32_t c) { return c == 0x17F ? U's' : c >= 'A' && c <= 'Z' ? c + 32 : c; }

/// After an apostrophe: end of `s t m d re ve ll`, or 0.
size_t contractionEnd(Cursor c, bool caseless) {
  char32_t first = caseless ? fold(c.value()) : c.value();
  if (c.kind() == End)
    return 0;
  c.next();
  if (first == 's' || first == 't' || first == 'm' || first == 'd')
    return c.offset();
  if (c.kind() == End || (first != 'r' && first != 'v' && first != 'l'))
    return 0;
  char32_t second = caseless ? fold(c.value()) : c.value();
  if (second != (first == 'l' ? U'l' : U'e'))
    return 0;
  c.next();
  return c.offset();
}

/// `\s+(?!\S)|\s+` from a run of white space that ends at `end`: all of it at the end of the text,
/// else all but the last character, which goes to the next word, unless that is the only one.
size_t whiteSpaceEnd(std::string_view text, size_t begin, size_t end) {
  if (end == text.size())
    return end;
  size_t last = previousStart(text, end);
  return last > begin ? last : end;
}

size_t gpt2Piece(std::string_view text, size_t begin) {
  Cursor c(text, begin);
  if (c.value() == '\'') {
    Cursor after = c;
    after.next();
    if (size_t end = contractionEnd(after, /*caseless=*/false))
      return end;
  }
  Cursor word = c;
  if (c.value() == ' ') {
    word.next();
    if (word.kind() == Space || word.kind() == End)
      word = c;
  }
  if (word.kind() != Space) {
    word.skip(word.kind());
    return word.offset();
  }
  c.skip(Space);
  return whiteSpaceEnd(text, begin, c.offset());
}

/// Qwen and Llama 3; they differ in how many digits stand together.
size_t qwenPiece(std::string_view text, size_t begin, int digits) {
  Cursor c(text, begin);
  if (c.kind() == Letter) {
    c.skip(Letter);
    return c.offset();
  }
  Cursor second = c;
  second.next();
  if (c.kind() == Number) {
    c = second;
    while (--digits > 0 && c.kind() == Number)
      c.next();
    return c.offset();
  }
  if (c.value() == '\'')
    if (size_t end = contractionEnd(second, /*caseless=*/true))
      return end;
  if (second.kind() == Letter && !c.isNewline()) {
    second.skip(Letter);
    return second.offset();
  }
  if (c.kind() == Other || (c.value() == ' ' && second.kind() == Other)) {
    second.skip(Other);
    while (second.isNewline())
      second.next();
    return second.offset();
  }
  size_t afterNewline = 0;
  while (c.kind() == Space) {
    bool newline = c.isNewline();
    c.next();
    if (newline)
      afterNewline = c.offset();
  }
  return afterNewline ? afterNewline : whiteSpaceEnd(text, begin, c.offset());
}

/// Wraps one of the functions above, inlined into the loop.
template <typename Piece> class Scanner final : public Splitter {
public:
  explicit Scanner(Piece piece) : piece_(piece) {}
  Status split(std::string_view text, const std::vector<size_t> &pieces,
               std::vector<size_t> &ends) const override {
    size_t begin = 0;
    for (size_t end : pieces) {
      std::string_view visible = text.substr(0, end);
      while (begin < end) {
        begin = piece_(visible, begin);
        ends.push_back(begin);
      }
    }
    return Status::ok();
  }

private:
  Piece piece_;
};

template <typename Piece> std::unique_ptr<Splitter> scanner(Piece piece) {
  return std::make_unique<Scanner<Piece>>(piece);
}

} // namespace

Result<std::unique_ptr<Splitter>> Splitter::create(std::string_view pattern) {
  if (pattern == kGpt2Pattern)
    return scanner([](std::string_view t, size_t at) { return gpt2Piece(t, at); });
  if (pattern == kQwenPattern)
    return scanner([](std::string_view t, size_t at) { return qwenPiece(t, at, 1); });
  if (pattern == kLlama3Pattern)
    return scanner([](std::string_view t, size_t at) { return qwenPiece(t, at, 3); });
  return createRegex(pattern);
}

} // namespace sinter::text
