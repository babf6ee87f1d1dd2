//===- PhiloxTest.cpp - counter-based random numbers ----------------------===//
#include "sinter/Support/Philox.h"

#include <gtest/gtest.h>
#include <set>

using namespace sinter;

namespace {

// The known-answer vectors published with Random123 for philox4x32, 10 rounds.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UnitFloatStaysBelowOne) {
  EXPECT_EQ(unitFloat(0), 0.0f);
  EXPECT_LT(unitFloat(~0u), 1.0f);
  EXPECT_EQ(unitFloat(0x80000000u), 0.5f);
}

TEST(Philox, UniformDependsOnEveryArgument) {
  const uint64_t high = uint64_t(1) << 32;
  std::set<float> values = {uniform(1, 2, 3), uniform(2, 2, 3),        uniform(1 + high, 2, 3),
                            uniform(1, 3, 3), uniform(1, 2 + high, 3), uniform(1, 2, 3 + 4),
                            uniform(1, 2, 2)};
  EXPECT_EQ(values.size(), 7u);
  EXPECT_EQ(uniform(1, 2, 7), unitFloat(philoxBlock(1, 2, 1)[3]));
}

TEST(Philox, UniformIsSpreadEvenly) {
  constexpr int kBuckets = 64, kPerBucket = 2000;
  int count[kBuckets] = {};
  for (int i = 0; i < kBuckets * kPerBucket; ++i)
    ++count[int(uniform(7, uint64_t(i), 0) * kBuckets)];
  double chiSquare = 0;
  for (int n : count)
    chiSquare += double(n - kPerBucket) * (n - kPerBucket) / kPerBucket;
  // 63 degrees of freedom: mean 63, standard deviation 11.2.
  EXPECT_LT(chiSquare, 63 + 4 * 11.2);
  EXPECT_GT(chiSquare, 63 - 4 * 11.2);
}

} // namespace
