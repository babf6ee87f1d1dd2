//===- Lexer.cpp - template text to tokens --------------------------------===//
#include "runtime/text/jinja/Lexer.h"

#include <algorithm>

#include "runtime/text/Unicode.h"
#include "runtime/text/jinja/Error.h"
#include "runtime/text/jinja/PythonText.h"

namespace sinter::jinja {

namespace {

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool isHex(char c) { return isDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// \r\n and \r become \n, and one newline at the end goes.
std::string normalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n')
      ++i;
  }
  if (!out.empty() && out.back() == '\n')
    out.pop_back();
  return out;
}

class Lexer {
public:
  explicit Lexer(std::string_view source) : source_(normalizeNewlines(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size())
      lexData();
    push(TokenKind::End, "");
    return std::move(tokens_);
  }

private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  bool looksAt(std::string_view text) const { return source_.compare(at_, text.size(), text) == 0; }
  void push(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void advance(size_t bytes) {
    line_ +=
        int(std::count(source_.begin() + long(at_), source_.begin() + long(at_ + bytes), '\n'));
    at_ += bytes;
  }
  void skipSpace() {
    while (at_ < source_.size()) {
      const auto [c, bytes] = text::decodeAt(source_, at_);
      if (!isSpace(c))
        break;
      advance(bytes);
    }
  }

  void lexData();
  size_t findTag() const;
  void pushData(size_t end, char sign, bool variable);
  void lexComment(int line);
  bool lexRaw();
  void lexTag(TokenKind endKind, std::string_view endText);
  bool closeTag(bool block);
  void afterBlockEnd(char sign);
  void lexToken(int openLine);
  void lexNumber();
  void lexName();
  void lexString();
  void lexEscape(std::string &out);
  void lexOperator(int openLine);

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool lineStarting_ = true; ///< whether the last tag took a newline along, or none came yet
  std::vector<Token> tokens_;
  std::string brackets_; ///< closing brackets that are due
};

size_t Lexer::findTag() const {
  for (size_t i = at_; i + 1 < source_.size(); ++i)
    if (source_[i] == '{' &&
        (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#'))
      return i;
  return source_.size();
}

/// Emits the text before a tag that opens with `sign`, stripped as the sign and lstrip_blocks say.
void Lexer::pushData(size_t end, char sign, bool variable) {
  std::string_view text = std::string_view(source_).substr(at_, end - at_);
  if (sign == '-') {
    text = strip(text, std::nullopt, Side::Right);
  } else if (sign != '+' && !variable) {
    const size_t newline = text.rfind('\n');
    const size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    if ((start > 0 || lineStarting_) && strip(text.substr(start), std::nullopt, Side::Left).empty())
      text = text.substr(0, start);
  }
  if (!text.empty())
    push(TokenKind::Data, std::string(text));
  advance(end - at_);
}

void Lexer::lexData() {
  const size_t tag = findTag();
  if (tag == source_.size()) {
    push(TokenKind::Data, source_.substr(at_));
    advance(tag - at_);
    return;
  }
  const char type = source_[tag + 1];
  char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
  if (sign != '-' && sign != '+')
    sign = '\0';
  pushData(tag, sign, type == '{');
  const int line = line_;
  if (type == '%' && lexRaw())
    return;
  advance(sign ? 3 : 2);
  if (type == '#')
    return lexComment(line);
  lineStarting_ = false;
  push(type == '%' ? TokenKind::BlockBegin : TokenKind::VariableBegin, "");
  if (type == '%')
    lexTag(TokenKind::BlockEnd, "%}");
  else
    lexTag(TokenKind::VariableEnd, "}}");
}

/// After `%}` or `#}`, `sign` being what stood before it.
void Lexer::afterBlockEnd(char sign) {
  const size_t from = at_;
  if (sign == '-')
    skipSpace();
  else if (sign != '+' && peek() == '\n')
    advance(1);
  lineStarting_ = at_ > from && source_[at_ - 1] == '\n';
}

void Lexer::lexComment(int line) {
  const size_t end = source_.find("#}", at_);
  if (end == std::string::npos)
    failParse(line, "a comment is not closed");
  const char last = end > at_ ? source_[end - 1] : '\0';
  advance(end + 2 - at_);
  afterBlockEnd(last);
}

/// `{% raw %}` up to its `{% endraw %}`; nothing consumed when another block starts here.
bool Lexer::lexRaw() {
  // `{%`, a sign, white space, the word; returns where the tag goes on, or npos.
  const auto word = [&](size_t at, std::string_view name) {
    at += 2;
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+'))
      ++at;
    while (at < source_.size() && isSpace(text::decodeAt(source_, at).value))
      at += text::decodeAt(source_, at).bytes;
    if (source_.compare(at, name.size(), name) != 0)
      return std::string::npos;
    at += name.size();
    while (at < source_.size() && isSpace(text::decodeAt(source_, at).value))
      at += text::decodeAt(source_, at).bytes;
    return at;
  };
  const auto closes = [&](size_t at) { return source_.compare(at, 2, "%}") == 0; };
  const size_t open = word(at_, "raw");
  if (open == std::string::npos)
    return false;
  const bool strips = source_[open] == '-' && closes(open + 1);
  if (!strips && !closes(open))
    return false;
  const int line = line_;
  advance(open + (strips ? 3 : 2) - at_);
  if (strips)
    skipSpace();
  lineStarting_ = source_[at_ - 1] == '\n';
  for (size_t tag = at_; (tag = source_.find("{%", tag)) != std::string::npos; tag += 2) {
    const size_t end = word(tag, "endraw");
    if (end == std::string::npos)
      continue;
    const char sign = source_[end] == '-' || source_[end] == '+' ? source_[end] : '\0';
    if (!closes(end + (sign ? 1 : 0)))
      continue;
    const char openSign = source_[tag + 2] == '-' || source_[tag + 2] == '+' ? source_[tag + 2] : 0;
    pushData(tag, openSign, false);
    advance(end + (sign ? 3 : 2) - at_);
    afterBlockEnd(sign);
    return true;
  }
  failParse(line, "\"raw\" is not closed");
}

/// Consumes the end of a tag if it is here.
bool Lexer::closeTag(bool block) {
  const std::string_view text = block ? "%}" : "}}";
  char sign = peek();
  if (sign != '-' && (sign != '+' || !block))
    sign = '\0';
  if (source_.compare(at_ + (sign ? 1 : 0), 2, text) != 0)
    return false;
  push(block ? TokenKind::BlockEnd : TokenKind::VariableEnd, "");
  advance(sign ? 3 : 2);
  if (block || sign == '-')
    afterBlockEnd(sign);
  else
    lineStarting_ = false;
  return true;
}

void Lexer::lexTag(TokenKind endKind, std::string_view endText) {
  const int line = line_;
  brackets_.clear();
  for (;;) {
    if (brackets_.empty() && closeTag(endKind == TokenKind::BlockEnd))
      return;
    if (at_ >= source_.size())
      failParse(line, "a tag is not closed by \"" + std::string(endText) + "\"");
    const auto [c, bytes] = text::decodeAt(source_, at_);
    if (isSpace(c))
      advance(bytes);
    else
      lexToken(line);
  }
}

void Lexer::lexToken(int openLine) {
  const char c = peek();
  if (isDigit(c))
    lexNumber();
  else if (isNameStart(c))
    lexName();
  else if (c == '"' || c == '\'')
    lexString();
  else
    lexOperator(openLine);
}

void Lexer::lexNumber() {
  std::string text;
  const auto digits = [&] {
    while (isDigit(peek()) || (peek() == '_' && isDigit(peek(1)))) {
      if (peek() != '_')
        text += peek();
      advance(1);
    }
  };
  const size_t start = at_;
  const bool afterDot = at_ > 0 && source_[at_ - 1] == '.';
  digits();
  bool isFloat = false;
  if (!afterDot && peek() == '.' && isDigit(peek(1))) {
    isFloat = true;
    text += '.';
    advance(1);
    digits();
  }
  const size_t sign = peek(1) == '+' || peek(1) == '-' ? 2 : 1;
  if (!afterDot && (peek() == 'e' || peek() == 'E') && isDigit(peek(sign))) {
    isFloat = true;
    text += source_.substr(at_, sign);
    advance(sign);
    digits();
  }
  const bool leadingZero =
      source_[start] == '0' && text.find_first_not_of('0') != std::string::npos;
  if (isNameStart(peek()) || (!isFloat && leadingZero))
    failParse(line_, "a number is malformed");
  push(isFloat ? TokenKind::Float : TokenKind::Integer, text);
}

void Lexer::lexName() {
  size_t end = at_;
  while (end < source_.size() && (isNameStart(source_[end]) || isDigit(source_[end])))
    ++end;
  push(TokenKind::Name, source_.substr(at_, end - at_));
  advance(end - at_);
}

/// One escape sequence as in a Python string literal; at_ is behind the backslash.
void Lexer::lexEscape(std::string &out) {
  static constexpr std::string_view kFrom = "abfnrtv\\'\"", kTo = "\a\b\f\n\r\t\v\\'\"";
  const char c = peek();
  const size_t hexDigits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (const size_t simple = kFrom.find(c); c && simple != std::string_view::npos) {
    out += kTo[simple];
    advance(1);
  } else if (c == '\n') {
    advance(1);
  } else if (hexDigits || (c >= '0' && c <= '7')) {
    if (hexDigits)
      advance(1);
    const size_t limit = hexDigits ? hexDigits : 3;
    char32_t value = 0;
    size_t count = 0;
    for (; count < limit && (hexDigits ? isHex(peek()) : peek() >= '0' && peek() <= '7'); ++count) {
      const char d = peek();
      const int digit = isDigit(d) ? d - '0' : (d | 0x20) - 'a' + 10;
      value = value * (hexDigits ? 16 : 8) + char32_t(digit);
      advance(1);
    }
    if ((hexDigits && count < limit) || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      failParse(line_, "a string has a malformed escape sequence");
    text::appendUtf8(out, value);
  } else if (c == 'N') {
    refuse(line_, "the escape sequence \\N in a string");
  } else {
    out += '\\';
  }
}

void Lexer::lexString() {
  const char quote = peek();
  const int line = line_;
  std::string value;
  advance(1);
  while (at_ < source_.size() && peek() != quote) {
    if (peek() == '\\') {
      advance(1);
      lexEscape(value);
    } else {
      value += peek();
      advance(1);
    }
  }
  if (at_ >= source_.size())
    failParse(line, "a string is not closed");
  advance(1);
  tokens_.push_back({TokenKind::String, std::move(value), line});
}

void Lexer::lexOperator(int openLine) {
  static constexpr std::string_view kOperators[] = {
      "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
  for (std::string_view op : kOperators) {
    if (!looksAt(op))
      continue;
    if (op == "(" || op == "[" || op == "{") {
      brackets_ += op == "(" ? ')' : op == "[" ? ']' : '}';
    } else if (op == ")" || op == "]" || op == "}") {
      if (brackets_.empty() || brackets_.back() != op[0])
        failParse(line_, "unexpected \"" + std::string(op) + "\" in the tag opened on line " +
                             std::to_string(openLine));
      brackets_.pop_back();
    }
    push(TokenKind::Operator, std::string(op));
    advance(op.size());
    return;
  }
  const auto [c, bytes] = text::decodeAt(source_, at_);
  failParse(line_, isPrintable(c) ? "unexpected character \"" + source_.substr(at_, bytes) + "\""
                                  : "unexpected control character");
}

} // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

} // namespace sinter::jinja
