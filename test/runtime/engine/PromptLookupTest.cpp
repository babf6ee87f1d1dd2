//===- PromptLookupTest.cpp -----------------------------------------------===//
#include "runtime/engine/PromptLookup.h"

#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace sinter {
namespace {

using Tokens = std::vector<int32_t>;

Tokens guess(const Tokens &tokens, size_t count) {
  const std::span<const int32_t> found = lookupPrompt(tokens, count);
  return {found.begin(), found.end()};
}

TEST(PromptLookup, FindsWhatFollowedTheLastTime) {
  EXPECT_EQ(guess({1, 2, 3, 4, 5, 1, 2, 3}, 2), (Tokens{4, 5}));
  EXPECT_EQ(guess({1, 2, 3, 4, 5, 1, 2, 3}, 7), (Tokens{4, 5, 1, 2, 3}));
  EXPECT_EQ(guess({9, 2, 3, 4, 7, 2, 3, 5, 8, 2, 3}, 1), (Tokens{5})) << "the latest";
  EXPECT_EQ(guess({1, 2, 3, 4, 7, 2, 3, 5, 1, 2, 3}, 1), (Tokens{4})) << "three before two";
  EXPECT_EQ(guess({6, 6, 6}, 3), (Tokens{6})) << "an overlap is a repetition as well";
  EXPECT_EQ(guess({1, 2, 3, 4}, 3), Tokens{});
  EXPECT_EQ(guess({1, 2}, 3), Tokens{});
  EXPECT_EQ(guess({1}, 3), Tokens{});
  EXPECT_EQ(guess({}, 3), Tokens{});
}

TEST(PromptLookup, AgreesWithASlowSearch) {
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    Tokens tokens(random() % 20);
    for (int32_t &token : tokens)
      token = int32_t(random() % 3);
    const size_t count = 1 + random() % 7;
    Tokens expected;
    for (size_t gram : {3, 2})
      for (size_t at = 0; expected.empty() && at + gram < tokens.size(); ++at) {
        const size_t begin = tokens.size() - gram - 1 - at; // the latest first
        if (std::equal(tokens.begin() + long(begin), tokens.begin() + long(begin + gram),
                       tokens.end() - long(gram)))
          expected.assign(tokens.begin() + long(begin + gram),
                          tokens.begin() + long(std::min(tokens.size(), begin + gram + count)));
      }
    ASSERT_EQ(guess(tokens, count), expected);
  }
}

} // namespace
} // namespace sinter
