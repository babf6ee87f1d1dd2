//===- CostModelTest.cpp - predictions against what was measured ----------===//
#include "lib/Codegen/Gpu/CostModel.h"
#include "lib/Codegen/Gpu/Tuning.h"

#include <gtest/gtest.h>

namespace sinter::gpu {
namespace {

LinearSpec linear(int64_t n, int64_t k, int64_t tokens) {
  LinearSpec spec;
  spec.n = n, spec.k = k, spec.maxTokens = tokens;
  return spec;
}

LinearSpec normed(LinearSpec spec) {
  spec.norm = true;
  if (readsPreparedRows({}, spec))
    spec.xg = true, spec.sumsIn = 16;
  return spec;
}

/// Microseconds on an H200, some of them of prototypes of the templates: the model need not be
/// exact, it must not be wrong by much anywhere.
TEST(CostModel, IsCloseToWhatWasMeasured) {
  struct Row {
    LinearSpec spec;
    double micros;
  };
  for (const Row &row : {Row{normed(linear(4096, 1024, 1)), 2.75},
                         {normed(linear(6144, 1024, 1)), 4.03},
                         {normed(linear(24576, 4096, 1)), 43.8},
                         {linear(1024, 2048, 1), 2.04},
                         {linear(1024, 3072, 1), 2.88},
                         {linear(4096, 12288, 1), 24.2},
                         {normed(linear(4096, 1024, 8)), 3.24},
                         {normed(linear(4096, 1024, 16)), 3.7},
                         {normed(linear(4096, 1024, 32)), 4.25},
                         {normed(linear(4096, 1024, 64)), 5.22},
                         {normed(linear(24576, 4096, 32)), 51.1},
                         {linear(1024, 3072, 16), 3.21},
                         {linear(4096, 12288, 32), 26.6},
                         {normed(linear(4096, 1024, 2048)), 24.4},
                         {normed(linear(4096, 4096, 8192)), 346}}) {
    const auto cost = costOf({}, row.spec, {});
    ASSERT_TRUE(cost);
    EXPECT_GT(cost->micros, row.micros / 1.4) << shapeText(row.spec) << describe(cost->chosen);
    EXPECT_LT(cost->micros, row.micros * 1.4) << shapeText(row.spec) << describe(cost->chosen);
  }
}

TEST(CostModel, MoreWorkTakesLonger) {
  for (int64_t tokens : {1, 8, 32, 128, 2048}) {
    const double small = costOf({}, linear(4096, 1024, tokens), {})->micros;
    EXPECT_LT(small, costOf({}, linear(8192, 1024, tokens), {})->micros) << tokens;
    EXPECT_LT(small, costOf({}, linear(4096, 4096, tokens), {})->micros) << tokens;
    for (const char *chip : {"sm_80", "sm_86", "sm_89"})
      EXPECT_LT(small, costOf({chip}, linear(4096, 1024, tokens), {})->micros) << chip;
  }
  RowSpec rows{RowSpec::RmsNorm, 1024, DType::BF16, DType::BF16, 1};
  const double one = predictRows({}, rows);
  rows.maxTokens = 2048;
  EXPECT_LT(one, predictRows({}, rows));
  EXPECT_LT(predictAttention({}, 1e6, 0), predictAttention({}, 1e8, 0));
  EXPECT_LT(predictAttention({}, 1e6, 0), predictAttention({}, 1e6, 1e10));
}

TEST(CostModel, CandidatesFitAndStartWithTheRules) {
  for (int64_t tokens : {1, 2, 4, 8, 16, 64, 128, 512, 2048}) {
    const LinearSpec spec = normed(linear(4096, 1024, tokens));
    const auto candidates = candidatesFor({}, spec, 7);
    ASSERT_FALSE(candidates.empty());
    EXPECT_LE(candidates.size(), 7u);
    EXPECT_EQ(describe(costOf({}, spec, candidates[0])->chosen),
              describe(costOf({}, spec, {})->chosen));
    for (const LinearTuning &each : candidates)
      EXPECT_LE(costOf({}, spec, each)->sharedBytes, 227 << 10) << kernelText(each);
  }
  // The smallest chips have less shared memory and no wgmma.
  for (const LinearTuning &each : candidatesFor({"sm_89"}, linear(4096, 1024, 512), 7)) {
    EXPECT_NE(each.kind, LinearTuning::WgmmaGemm);
    EXPECT_LE(costOf({"sm_89"}, linear(4096, 1024, 512), each)->sharedBytes, 99 << 10);
  }
}

/// A table keeps what was chosen: given back, that must be the kernel that was measured.
TEST(Tuning, WhatWasChosenChoosesItAgain) {
  for (int64_t tokens : {1, 8, 64, 128, 512, 2048})
    for (const LinearSpec &spec :
         {normed(linear(4096, 1024, tokens)), linear(1024, 1024, tokens)}) {
      const LinearTuning chosen = costOf({}, spec, {})->chosen;
      LinearTuning read;
      std::string why;
      ASSERT_TRUE(parseKernelText(kernelText(chosen), read, why)) << why;
      EXPECT_EQ(kernelText(costOf({}, spec, read)->chosen), kernelText(chosen));
    }
  const LinearSpec spec = normed(linear(4096, 1024, 2048));
  EXPECT_EQ(costOf({}, spec, {})->chosen.turns, 2) << "short rows, several tiles a CTA";
  LinearTuning shared;
  shared.kind = LinearTuning::WgmmaGemm, shared.rows = 128, shared.turns = 1;
  EXPECT_EQ(costOf({}, spec, shared)->chosen.turns, 1);
  EXPECT_NE(describe(costOf({}, spec, shared)->chosen), describe(costOf({}, spec, {})->chosen));
}

} // namespace
} // namespace sinter::gpu
