//===- RegexSplitter.cpp - any other pattern, on PCRE2 --------------------===//
//
// The translation accepts the part of Oniguruma's syntax that has one meaning in both engines and
// that pre-tokenizers use: literals, `\s \S \d \D \p{..} \P{..}`, classes, groups, look-around,
// alternation and quantifiers. Everything that names characters by property becomes ranges.
//
//===----------------------------------------------------------------------===//

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "runtime/text/Splitter.h"
#include "runtime/text/Unicode.h"
#include "sinter/Support/Json.h"

namespace sinter::text {
namespace {

constexpr std::string_view kCategoryNames = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf "
                                            "Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cs ";

/// Bits of the categories that a property such as `L` or `Lu` names; nothing if unknown.
std::optional<uint32_t> categoryMask(std::string_view name) {
  uint32_t mask = 0;
  if (name.empty() || name.size() > 2)
    return std::nullopt;
  for (size_t i = 0; i < kCategoryNames.size(); i += 3)
    if (kCategoryNames.substr(i, name.size()) == name)
      mask |= 1u << (i / 3);
  return mask ? std::optional(mask) : std::nullopt;
}

class Translator {
public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> run() {
    caseless_.push_back(false);
    while (at_ < in_.size())
      SINTER_RETURN_IF_ERROR(item());
    return std::move(out_);
  }

private:
  Status refuse(size_t at, std::string_view what) const {
    return unsupported("regular expression, byte " + std::to_string(at) + ": " + std::string(what) +
                       " is not supported");
  }
  bool starts(std::string_view prefix) const { return in_.substr(at_, prefix.size()) == prefix; }
  void copy(size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  Status item() {
    size_t begin = at_;
    char c = in_[at_];
    char previous = std::exchange(previousLiteral_, 0);
    switch (c) {
    case '(':
      return openGroup();
    case ')':
      if (caseless_.size() == 1)
        return invalidInput("regular expression, byte " + std::to_string(at_) + ": unmatched )");
      caseless_.pop_back();
      copy(1);
      return Status::ok();
    case '[':
      return charClass();
    case '{':
      return repeat();
    case '^':
    case '$':
    case '.':
      return refuse(begin, "'" + std::string(1, c) + "'");
    case '|':
    case '?':
    case '*':
    case '+':
      copy(1);
      return Status::ok();
    default:
      return literal(previous);
    }
  }

  Status openGroup() {
    for (std::string_view head : {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!"}) {
      if (!starts(head))
        continue;
      caseless_.push_back(caseless_.back() || head == "(?i:");
      copy(head.size());
      return Status::ok();
    }
    return refuse(at_, in_.substr(at_, 2) == "(?" ? "this group" : "a capturing group");
  }

  /// `{n}`, `{n,}`, `{n,m}`; `+` after them, and `?` after `{n}`, mean something else in Oniguruma.
  Status repeat() {
    size_t end = in_.find('}', at_);
    std::string_view body = end == std::string_view::npos ? "" : in_.substr(at_ + 1, end - at_ - 1);
    if (body.empty() || body[0] == ',' || body.find_first_not_of("0123456789,") != body.npos)
      return refuse(at_, "'{' outside a quantifier {n}, {n,} or {n,m}");
    std::string_view after = in_.substr(end + 1, 1);
    if (after == "+" || (after == "?" && body.find(',') == body.npos))
      return refuse(at_, "'" + std::string(after) + "' after this quantifier");
    copy(end + 1 - at_);
    return Status::ok();
  }

  /// A character or an escape outside a class.
  Status literal(char previous) {
    size_t begin = at_;
    if (in_[at_] == '\\') {
      bool negated = false;
      SINTER_ASSIGN_OR_RETURN(auto set, propertyEscape(negated));
      if (set) {
        out_ += (negated ? "[^" : "[") + *set + "]";
        return Status::ok();
      }
    }
    SINTER_ASSIGN_OR_RETURN(char32_t c, character());
    if (caseless_.back()) {
      if (c >= 0x80)
        return refuse(begin, "a caseless character outside ASCII");
      char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c);
      for (std::string_view pair : {"ss", "ff", "fi", "fl", "st"})
        if (previous == pair[0] && lower == pair[1])
          return refuse(begin, "a caseless sequence that folds to one character");
      previousLiteral_ = lower;
    }
    appendEscaped(c);
    return Status::ok();
  }

  Status charClass() {
    size_t begin = at_;
    copy(1);
    bool negated = starts("^");
    if (negated)
      copy(1);
    if (starts("]"))
      return refuse(at_, "an empty class");
    while (!starts("]")) {
      if (at_ == in_.size())
        return invalidInput("regular expression, byte " + std::to_string(begin) +
                            ": class without ]");
      if (starts("[") || starts("&&"))
        return refuse(at_, "a class within a class");
      SINTER_RETURN_IF_ERROR(classItem(negated));
    }
    copy(1);
    return Status::ok();
  }

  Status classItem(bool negatedClass) {
    size_t begin = at_;
    bool negated = false;
    if (in_[at_] == '\\') {
      SINTER_ASSIGN_OR_RETURN(auto set, propertyEscape(negated));
      if (set && negated)
        return refuse(begin, "a negated property inside a class");
      if (set) {
        out_ += *set;
        return Status::ok();
      }
    }
    SINTER_ASSIGN_OR_RETURN(char32_t first, character());
    if (caseless_.back() && (first >= 0x80 || negatedClass))
      return refuse(begin, "a caseless class that is negated or outside ASCII");
    appendEscaped(first);
    if (!starts("-") || in_.substr(at_, 2) == "-]")
      return Status::ok();
    ++at_;
    if (at_ == in_.size() || starts("[") || caseless_.back())
      return refuse(begin, "this range");
    SINTER_ASSIGN_OR_RETURN(char32_t last, character());
    if (last < first)
      return invalidInput("regular expression, byte " + std::to_string(begin) + ": empty range");
    out_ += '-';
    appendEscaped(last);
    return Status::ok();
  }

  /// `\s \S \d \D \p{..} \P{..}` as ranges; nothing, and nothing consumed, for another escape.
  Result<std::optional<std::string>> propertyEscape(bool &negated) {
    size_t begin = at_;
    char kind = at_ + 1 < in_.size() ? in_[at_ + 1] : 0;
    std::string ranges;
    if (kind == 's' || kind == 'S') {
      ranges = spaceAsRegexClass();
      at_ += 2;
    } else if (kind == 'd' || kind == 'D') {
      ranges = rangesAsRegexClass(*categoryMask("Nd"));
      at_ += 2;
    } else if (kind == 'p' || kind == 'P') {
      size_t end = in_.find('}', at_);
      if (in_.substr(at_ + 2, 1) != "{" || end == std::string_view::npos)
        return refuse(begin, "a property without braces");
      auto mask = categoryMask(in_.substr(at_ + 3, end - at_ - 3));
      if (!mask)
        return refuse(begin,
                      quoteForMessage(in_.substr(begin, std::min<size_t>(end + 1 - begin, 40))));
      ranges = rangesAsRegexClass(*mask);
      at_ = end + 1;
    } else {
      return std::optional<std::string>();
    }
    negated = kind == 'S' || kind == 'D' || kind == 'P';
    if (caseless_.back())
      return refuse(begin, "a property in a caseless group");
    return std::optional(std::move(ranges));
  }

  /// One literal code point, escaped or not.
  Result<char32_t> character() {
    if (in_[at_] != '\\') {
      CodePoint point = decodeAt(in_, at_);
      at_ += point.bytes;
      return point.value;
    }
    if (at_ + 1 == in_.size())
      return invalidInput("regular expression ends in a backslash");
    char c = in_[at_ + 1];
    constexpr std::string_view kNames = "rntfva", kValues = "\r\n\t\f\v\a";
    constexpr std::string_view kPunctuation = "\\.+*?()[]{}|^$-/'\"#&!,:;=<>@_`~% ";
    if (size_t i = kNames.find(c); i != kNames.npos) {
      at_ += 2;
      return static_cast<char32_t>(kValues[i]);
    }
    if (kPunctuation.find(c) == kPunctuation.npos) {
      size_t end = at_ + 1 + decodeAt(in_, at_ + 1).bytes;
      return refuse(at_, quoteForMessage(in_.substr(at_, end - at_)));
    }
    at_ += 2;
    return static_cast<char32_t>(c);
  }

  void appendEscaped(char32_t c) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string hex;
    do
      hex.insert(hex.begin(), kDigits[c & 15]);
    while (c >>= 4);
    out_ += "\\x{" + hex + "}";
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  /// Whether each open group, the innermost last, ignores case.
  std::vector<bool> caseless_;
  /// The literal just before, in lower case, while a caseless sequence goes on.
  char previousLiteral_ = 0;
};

std::string pcre2Message(int code) {
  PCRE2_UCHAR buffer[128];
  if (pcre2_get_error_message(code, buffer, sizeof buffer) < 0)
    return "PCRE2 error " + std::to_string(code);
  return reinterpret_cast<const char *>(buffer);
}

struct Pcre2Deleter {
  void operator()(pcre2_code *p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data *p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context *p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_jit_stack *p) const { pcre2_jit_stack_free(p); }
};
template <typename T> using Pcre2Ptr = std::unique_ptr<T, Pcre2Deleter>;

class RegexSplitter final : public Splitter {
public:
  explicit RegexSplitter(Pcre2Ptr<pcre2_code> code) : code_(std::move(code)) {}

  Status split(std::string_view text, const std::vector<size_t> &pieces,
               std::vector<size_t> &ends) const override {
    Pcre2Ptr<pcre2_match_data> match(pcre2_match_data_create(1, nullptr));
    Pcre2Ptr<pcre2_match_context> context(pcre2_match_context_create(nullptr));
    Pcre2Ptr<pcre2_jit_stack> stack(pcre2_jit_stack_create(kStackStart, kStackLimit, nullptr));
    if (!match || !context || !stack)
      return resourceExhausted("no memory for the pre-tokenizer");
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    size_t begin = 0;
    for (size_t end : pieces) {
      std::string_view piece = text.substr(begin, end - begin);
      size_t done = 0;
      while (done < piece.size()) {
        int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(piece.data()),
                                piece.size(), done, PCRE2_NO_UTF_CHECK, match.get(), context.get());
        if (found == PCRE2_ERROR_NOMATCH)
          break;
        if (found < 0)
          return resourceExhausted("pre-tokenizer at byte " + std::to_string(begin + done) + ": " +
                                   pcre2Message(found));
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match.get());
        if (span[0] > done)
          ends.push_back(begin + span[0]);
        ends.push_back(begin + span[1]);
        done = span[1];
      }
      if (done < piece.size())
        ends.push_back(end);
      begin = end;
    }
    return Status::ok();
  }

private:
  static constexpr size_t kStackStart = 32 * 1024, kStackLimit = 64 * 1024 * 1024;
  Pcre2Ptr<pcre2_code> code_;
};

} // namespace

Result<std::string> translatePattern(std::string_view pattern) { return Translator(pattern).run(); }

Result<std::unique_ptr<Splitter>> Splitter::createRegex(std::string_view pattern) {
  SINTER_ASSIGN_OR_RETURN(std::string translated, translatePattern(pattern));
  int error = 0;
  PCRE2_SIZE at = 0;
  Pcre2Ptr<pcre2_code> code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                          translated.size(), PCRE2_UTF, &error, &at, nullptr));
  if (!code)
    return invalidInput("regular expression: " + pcre2Message(error));
  uint32_t matchesEmpty = 0;
  pcre2_pattern_info(code.get(), PCRE2_INFO_MATCHEMPTY, &matchesEmpty);
  if (matchesEmpty)
    return unsupported(
        "regular expression: a pattern that matches the empty text is not supported");
  // Without the JIT the interpreter runs the same matches, only slower.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  return std::unique_ptr<Splitter>(std::make_unique<RegexSplitter>(std::move(code)));
}

} // namespace sinter::text
