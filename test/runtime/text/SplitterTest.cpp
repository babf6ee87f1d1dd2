//===- SplitterTest.cpp - scanners against PCRE2, and what is refused -----===//

#include <random>

#include <gtest/gtest.h>

#include "runtime/text/Splitter.h"
#include "runtime/text/Unicode.h"

using namespace sinter;
using namespace sinter::text;

namespace {

using Pieces = std::vector<std::string>;

Pieces pieces(const Splitter &splitter, std::string_view text) {
  std::vector<size_t> ends;
  Status status = splitter.split(text, {text.size()}, ends);
  EXPECT_TRUE(status) << status.message();
  Pieces out;
  size_t begin = 0;
  for (size_t end : ends) {
    EXPECT_GT(end, begin);
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return out;
}

Pieces qwen(std::string_view text) { return pieces(**Splitter::create(kQwenPattern), text); }

TEST(Splitter, CutsAsQwen) {
  EXPECT_EQ(qwen(""), Pieces());
  EXPECT_EQ(qwen("Hello world"), (Pieces{"Hello", " world"}));
  EXPECT_EQ(qwen("It'S they'll'x'"), (Pieces{"It", "'S", " they", "'ll", "'x", "'"}));
  EXPECT_EQ(qwen("it'\u017F"), (Pieces{"it", "'\u017F"}));
  EXPECT_EQ(qwen("a  b   "), (Pieces{"a", " ", " b", "   "}));
  EXPECT_EQ(qwen("x \n\n  y"), (Pieces{"x", " \n\n", " ", " y"}));
  EXPECT_EQ(qwen("1234!?\r\n\tz"), (Pieces{"1", "2", "3", "4", "!?\r\n", "\tz"}));
  EXPECT_EQ(qwen("\u180E\u180Ea"), (Pieces{"\u180E\u180E", "a"}));
  EXPECT_EQ(qwen("\n'\n"), (Pieces{"\n", "'\n"}));
}

TEST(Splitter, CutsAsGpt2AndLlama) {
  auto gpt2 = Splitter::create(kGpt2Pattern), llama = Splitter::create(kLlama3Pattern);
  EXPECT_EQ(pieces(**gpt2, "It'S 's  12ab\n\nx"),
            (Pieces{"It", "'", "S", " '", "s", " ", " 12", "ab", "\n", "\n", "x"}));
  EXPECT_EQ(pieces(**llama, "12345 67"), (Pieces{"123", "45", " ", "67"}));
}

/// The hand-written scanners and PCRE2 share no code: they must agree on anything.
TEST(Splitter, ScannersAgreeWithPcre2) {
  const std::vector<std::string> pool = {
      "a",    "Z",      "é",  "日", "ſ",  "s",         "S",      "t",      "l",
      "L",    "v",      "e",  "r",  "d",  "'",         "'",      "’",      " ",
      " ",    "  ",     "\n", "\r", "\t", "\u0085",    "\u00A0", "\u180E", "\u2028",
      "1",    "٣",      "½",  "Ⅷ",  "!",  "_",         "\u0301", "😀",     std::string(1, '\0'),
      "\x1F", "\u200B", "K",  "ß",  "ﬆ",  "\U00031350"};
  std::mt19937 random(7);
  for (std::string_view pattern : {kGpt2Pattern, kQwenPattern, kLlama3Pattern}) {
    auto fast = Splitter::create(pattern), slow = Splitter::createRegex(pattern);
    ASSERT_TRUE(fast && slow);
    for (int round = 0; round < 8000; ++round) {
      std::string text;
      for (unsigned i = 0, n = random() % 16; i < n; ++i)
        text += pool[random() % pool.size()];
      ASSERT_EQ(pieces(**fast, text), pieces(**slow, text)) << text;
    }
    for (char32_t block = 0; block < 0x110000; block += 256) {
      std::string text;
      for (char32_t c = block; c < block + 256; ++c) {
        if (c >= 0xD800 && c < 0xE000)
          continue;
        text += "a";
        appendUtf8(text, c);
        text += "1 ";
        appendUtf8(text, c);
      }
      ASSERT_EQ(pieces(**fast, text), pieces(**slow, text)) << uint32_t(block);
    }
  }
}

TEST(Splitter, EachPieceIsBlindToItsNeighbours) {
  for (auto create : {&Splitter::create, &Splitter::createRegex}) {
    auto splitter = create(kQwenPattern);
    ASSERT_TRUE(splitter);
    std::vector<size_t> ends;
    ASSERT_TRUE((*splitter)->split("ab   cd", {1, 4, 7}, ends));
    EXPECT_EQ(ends, (std::vector<size_t>{1, 2, 4, 7}));
  }
}

TEST(Splitter, KeepsWhatLiesBetweenMatches) {
  auto splitter = Splitter::create(R"(\d+|(?<=x)y)");
  ASSERT_TRUE(splitter);
  EXPECT_EQ(pieces(**splitter, "ab12cxyy٣"), (Pieces{"ab", "12", "cx", "y", "y", "٣"}));
}

TEST(Splitter, RefusesWhatOnigurumaReadsDifferently) {
  struct {
    const char *pattern, *message;
  } cases[] = {
      {"a.b", "regular expression, byte 1: '.' is not supported"},
      {"^a", "regular expression, byte 0: '^' is not supported"},
      {"a$", "regular expression, byte 1: '$' is not supported"},
      {"(a)", "regular expression, byte 0: a capturing group is not supported"},
      {"(?>a)", "regular expression, byte 0: this group is not supported"},
      {"a{,3}",
       "regular expression, byte 1: '{' outside a quantifier {n}, {n,} or {n,m} is not supported"},
      {"a{x}",
       "regular expression, byte 1: '{' outside a quantifier {n}, {n,} or {n,m} is not supported"},
      {"a{",
       "regular expression, byte 1: '{' outside a quantifier {n}, {n,} or {n,m} is not supported"},
      {"a{1,2}+", "regular expression, byte 1: '+' after this quantifier is not supported"},
      {"a{2}?", "regular expression, byte 1: '?' after this quantifier is not supported"},
      {"(?i:é)", "regular expression, byte 4: a caseless character outside ASCII is not supported"},
      {"(?i:sS)", "regular expression, byte 5: a caseless sequence that folds to one character is "
                  "not supported"},
      {"(?i:\\p{Lu})",
       "regular expression, byte 4: a property in a caseless group is not supported"},
      {"(?i:[^a])", "regular expression, byte 6: a caseless class that is negated or outside ASCII "
                    "is not supported"},
      {"(?i:[a-z])", "regular expression, byte 5: this range is not supported"},
      {"[]a]", "regular expression, byte 1: an empty class is not supported"},
      {"[a[b]]", "regular expression, byte 2: a class within a class is not supported"},
      {"[a&&b]", "regular expression, byte 2: a class within a class is not supported"},
      {"[\\S]", "regular expression, byte 1: a negated property inside a class is not supported"},
      {"\\pL", "regular expression, byte 0: a property without braces is not supported"},
      {"\\p{Han}", "regular expression, byte 0: \"\\p{Han}\" is not supported"},
      {"\\p{Xx}", "regular expression, byte 0: \"\\p{Xx}\" is not supported"},
      {"\\w+", "regular expression, byte 0: \"\\w\" is not supported"},
      {"\\b", "regular expression, byte 0: \"\\b\" is not supported"},
      {"a*", "regular expression: a pattern that matches the empty text is not supported"},
      {"", "regular expression: a pattern that matches the empty text is not supported"},
  };
  for (const auto &c : cases) {
    auto splitter = Splitter::create(c.pattern);
    ASSERT_FALSE(splitter) << c.pattern;
    EXPECT_EQ(splitter.status().code(), StatusCode::Unsupported) << c.pattern;
    EXPECT_EQ(splitter.status().message(), c.message) << c.pattern;
  }
}

TEST(Splitter, RefusesWhatIsNoExpression) {
  struct {
    const char *pattern, *message;
  } cases[] = {
      {"a)", "regular expression, byte 1: unmatched )"},
      {"(?:a", "regular expression: missing closing parenthesis"},
      {"x[ab", "regular expression, byte 1: class without ]"},
      {"[z-a]", "regular expression, byte 1: empty range"},
      {"a\\", "regular expression ends in a backslash"},
      {"+a", "regular expression: quantifier does not follow a repeatable item"},
  };
  for (const auto &c : cases) {
    auto splitter = Splitter::create(c.pattern);
    ASSERT_FALSE(splitter) << c.pattern;
    EXPECT_EQ(splitter.status().code(), StatusCode::InvalidInput) << c.pattern;
    EXPECT_EQ(splitter.status().message(), c.message) << c.pattern;
  }
}

TEST(Splitter, ReportsALimitInsteadOfCuttingWrongly) {
  auto splitter = Splitter::create("(?:(?:a|b)+c)+d|x");
  ASSERT_TRUE(splitter) << splitter.status().message();
  std::string text;
  for (int i = 0; i < 3000000; ++i)
    text += "ac";
  std::vector<size_t> ends;
  Status status = (*splitter)->split(text, {text.size()}, ends);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.code(), StatusCode::ResourceExhausted);
  EXPECT_EQ(status.message().rfind("pre-tokenizer at byte 0: ", 0), 0u) << status.message();
}

} // namespace
