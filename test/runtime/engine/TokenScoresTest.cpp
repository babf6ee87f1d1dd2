//===- TokenScoresTest.cpp - penalties, bias, masks, logprobs -------------===//
#include "runtime/engine/Logprobs.h"
#include "runtime/engine/Sampler.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

namespace sinter {
namespace {

const std::vector<float> kLogits = {2.f, -1.f, 0.5f, 4.f, 3.f};

std::vector<float> scoresOf(const SamplingParams &params, const SamplingContext &context,
                            int repeats = 1) {
  TokenScores scores;
  std::vector<float> result;
  for (int i = 0; i < repeats; ++i) {
    const std::span<const float> changed = scores.apply(kLogits, params, context);
    result.assign(changed.begin(), changed.end());
  }
  return result;
}

TEST(TokenScores, NothingToChangeCopiesNothing) {
  TokenScores scores;
  const std::vector<int32_t> history = {0, 1};
  EXPECT_EQ(scores.apply(kLogits, {}, {history}).data(), kLogits.data());
}

TEST(TokenScores, PenaltiesCountWhatWasGenerated) {
  const std::vector<int32_t> history = {3, 3, 0, /*generated:*/ 0, 1, 0, 0};
  SamplingParams params;
  params.presencePenalty = 0.5;
  EXPECT_EQ(scoresOf(params, {history, 3}, 2), (std::vector<float>{1.5f, -1.5f, 0.5f, 4.f, 3.f}));
  params.frequencyPenalty = 0.25;
  EXPECT_EQ(scoresOf(params, {history, 3}, 2), (std::vector<float>{0.75f, -1.75f, 0.5f, 4.f, 3.f}));
  params.presencePenalty = params.frequencyPenalty = -1;
  EXPECT_EQ(scoresOf(params, {history, 3}), (std::vector<float>{6.f, 1.f, 0.5f, 4.f, 3.f}));
  params = {};
  params.repetitionPenalty = 2; // over the prompt as well
  EXPECT_EQ(scoresOf(params, {history, 3}), (std::vector<float>{1.f, -2.f, 0.5f, 2.f, 3.f}));
  params.presencePenalty = 1; // after it
  EXPECT_EQ(scoresOf(params, {history, 3}), (std::vector<float>{0.f, -3.f, 0.5f, 2.f, 3.f}));
}

TEST(TokenScores, BiasAndMaskComeLast) {
  SamplingParams params;
  params.logitBias = {{0, 100.f}, {1, -100.f}, {0, 1.f}, {99, 5.f}};
  EXPECT_EQ(scoresOf(params, {}), (std::vector<float>{103.f, -101.f, 0.5f, 4.f, 3.f}));
  const std::vector<uint32_t> allowed = {0b10110};
  const float none = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(scoresOf(params, {{}, 0, allowed}),
            (std::vector<float>{none, -101.f, 0.5f, none, 3.f}));
  params.temperature = 0;
  Sampler sampler;
  EXPECT_EQ(*sampler.sample(kLogits, params, 0, {}), 0);
  EXPECT_EQ(*sampler.sample(kLogits, params, 0, {{}, 0, allowed}), 4);
  const std::vector<uint32_t> nothing = {0};
  EXPECT_EQ(sampler.sample(kLogits, params, 7, {{}, 0, nothing}).status().message(),
            "no token is allowed at position 7");
}

TEST(TokenScores, OverflowStaysFinite) {
  const std::vector<float> logits = {3e38f, -3e38f};
  const std::vector<int32_t> history = {0, 1};
  SamplingParams params;
  params.repetitionPenalty = 0.25;
  Sampler sampler;
  EXPECT_EQ(*sampler.sample(logits, params, 0, {history}), 0);
}

// Random parameters and masks: what is not allowed is never drawn.
TEST(TokenScores, AMaskHoldsUnderEveryFilter) {
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(77);
  Sampler sampler;
  for (int i = 0; i < 2000; ++i) {
    for (float &x : logits)
      x = normal(random);
    std::vector<uint32_t> allowed = {uint32_t(random()), uint32_t(random()),
                                     uint32_t(random()) & 0x1fff};
    allowed[i % 3] = 0;
    SamplingParams params;
    params.temperature = double(random() % 3);
    params.topK = int64_t(random() % 5);
    params.topP = random() % 2 ? 1 : 0.7;
    params.minP = random() % 2 ? 0 : 0.1;
    const auto token = sampler.sample(logits, params, uint64_t(i), {{}, 0, allowed});
    ASSERT_TRUE(token.isOk());
    ASSERT_TRUE(allowed[size_t(*token) / 32] >> (*token % 32) & 1);
  }
}

TEST(SamplingParams, ChecksTheNewOnes) {
  SamplingParams params;
  params.presencePenalty = std::nan("");
  EXPECT_EQ(params.check().message(), "presence-penalty: expected a number");
  params = {};
  params.frequencyPenalty = std::numeric_limits<double>::infinity();
  EXPECT_EQ(params.check().message(), "frequency-penalty: expected a number");
  params = {};
  params.logitBias = {{-1, 0.f}};
  EXPECT_EQ(params.check().message(), "logit-bias: expected token ids and numbers");
  params.logitBias = {{4, 1.f}, {5, 1.f}, {4, 2.f}};
  EXPECT_EQ(params.check().message(), "logit-bias: token id 4 stands there twice");
}

TEST(Logprobs, AreThoseOfTheSoftmax) {
  std::mt19937_64 random(5);
  std::normal_distribution<float> normal(0, 4);
  std::vector<float> logits(500);
  for (float &x : logits)
    x = normal(random);
  logits[7] = logits[450] = 20; // a tie at the top
  double sum = 0;
  for (const float x : logits)
    sum += std::exp(double(x));
  Logprobs logprobs;
  EXPECT_NEAR(logprobs.of(logits, 3, 20), std::log(std::exp(double(logits[3])) / sum), 1e-5);
  ASSERT_EQ(logprobs.likely().size(), 20u);
  EXPECT_EQ(logprobs.likely()[0].token, 7);
  EXPECT_EQ(logprobs.likely()[1].token, 450);
  std::vector<int32_t> order(500);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return std::pair(-logits[size_t(a)], a) < std::pair(-logits[size_t(b)], b);
  });
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(logprobs.likely()[i].token, order[i]);
    EXPECT_NEAR(logprobs.likely()[i].logprob,
                std::log(std::exp(double(logits[size_t(order[i])])) / sum), 1e-5);
  }
  logprobs.of(logits, 3, 0);
  EXPECT_TRUE(logprobs.likely().empty());
  logprobs.of(logits, 3, 1000);
  EXPECT_EQ(logprobs.likely().size(), 500u);
}

} // namespace
} // namespace sinter
