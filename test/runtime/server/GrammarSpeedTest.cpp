//===- GrammarSpeedTest.cpp - masks over a vocabulary of real size --------===//
#include "runtime/server/GrammarConstraint.h"
#include "runtime/server/SchemaGrammar.h"

#include <algorithm>
#include <chrono>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <set>

#include "test/runtime/server/SmallTokenizer.h"

using namespace sinter;
using namespace sinter::test;

namespace {

constexpr int32_t kTokens = 151000;

/// All bytes and random words, many with a space, quotes or brackets around them, as in Qwen's.
Tokenizer largeTokenizer() {
  std::mt19937 random(3);
  std::set<std::string> words;
  const std::string around[] = {"\xc4\xa0", "\"", "\":", "\",", "{\"", "}", "_", "", "", ""};
  while (words.size() < kTokens) {
    std::string word = around[random() % 10];
    for (size_t n = 2 + random() % 9; n > 0; --n)
      word += "etaoinshrdlucmfwypvbgkqjxz"[std::min(random() % 26, random() % 26)];
    words.insert(word + around[random() % 10]);
  }
  return smallTokenizer({words.begin(), words.end()});
}

/// "The mask of a step": a few milliseconds the first time in a state, then a copy.
TEST(GrammarSpeed, MasksOfALargeVocabulary) {
  using Clock = std::chrono::steady_clock;
  const auto milliseconds = [](Clock::duration d) {
    return std::chrono::duration<double, std::milli>(d).count();
  };
  const Tokenizer tokenizer = largeTokenizer();
  auto begin = Clock::now();
  const auto trie = std::make_shared<const TokenTrie>(tokenizer);
  const double build = milliseconds(Clock::now() - begin);
  auto grammar = std::make_shared<Grammar>();
  FirstError error;
  SchemaGrammar schemas(*grammar, error);
  const auto schema = OrderedJson::parse(R"({"type": "object", "properties": {
    "title": {"type": "string"}, "year": {"type": "integer"},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 40}},
    "more": {"type": "object"}}, "required": ["title", "year", "tags", "more"]})");
  grammar->start = schemas.rule(schema, "s");
  const size_t vocab = size_t(tokenizer.vocabSize());
  const auto matcher = std::make_shared<GrammarMatcher>(grammar, trie, (vocab + 31) / 32);
  const std::string answer = R"({"title": "some words", "year": 1999, "tags": ["a", "bc"],
  "more": {"k": [1, 2.5, {"deep": null}], "l": "and some more words"}})";
  std::vector<double> fresh, again;
  std::vector<uint32_t> mask((vocab + 31) / 32);
  for (std::vector<double> *times : {&fresh, &again}) {
    GrammarConstraint constraint(matcher, tokenizer, {kEndToken});
    for (const char c : answer) {
      begin = Clock::now();
      ASSERT_TRUE(constraint.allowed(mask)) << c;
      times->push_back(milliseconds(Clock::now() - begin));
      ASSERT_TRUE(mask[uint8_t(c) / 32] >> (uint8_t(c) % 32) & 1) << c;
      constraint.accept(uint8_t(c));
    }
  }
  std::sort(fresh.begin(), fresh.end());
  std::sort(again.begin(), again.end());
  RecordProperty("trie_ms", std::to_string(build));
  std::printf("tree of %zu nodes %.0f ms; mask: first time %.2f ms in the mean, %.2f at most, "
              "again %.3f; %zu states\n",
              trie->nodes(), build,
              std::accumulate(fresh.begin(), fresh.end(), 0.0) / double(fresh.size()), fresh.back(),
              again[again.size() / 2], matcher->states());
  // Several times what it takes, for machines that do other things as well.
  EXPECT_LT(fresh.back(), 60);
  EXPECT_LT(again[again.size() / 2], 1);
}

} // namespace
