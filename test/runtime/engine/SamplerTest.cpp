//===- SamplerTest.cpp ----------------------------------------------------===//
#include "runtime/engine/Sampler.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <random>

namespace sinter {
namespace {

/// The distribution that a chain of logits warpers (temperature, top-k, top-p, min-p) leaves: each
/// warper masks logits and the next one sees a fresh softmax over what is left.
std::vector<double> referenceDistribution(const std::vector<float> &logits,
                                          const SamplingParams &params,
                                          const std::vector<int32_t> &history = {}) {
  const size_t n = logits.size();
  std::vector<double> scores(logits.begin(), logits.end());
  for (size_t i = 0; i < n; ++i)
    if (std::find(history.begin(), history.end(), int32_t(i)) != history.end())
      scores[i] = scores[i] < 0 ? scores[i] * params.repetitionPenalty
                                : scores[i] / params.repetitionPenalty;
  constexpr double kMasked = -std::numeric_limits<double>::infinity();
  for (double &score : scores)
    score /= params.temperature;
  auto softmax = [&] {
    const double most = *std::max_element(scores.begin(), scores.end());
    std::vector<double> p(n);
    double sum = 0;
    for (size_t i = 0; i < n; ++i)
      sum += p[i] = std::exp(scores[i] - most);
    for (double &value : p)
      value /= sum;
    return p;
  };
  if (params.topK > 0 && size_t(params.topK) < n) {
    std::vector<double> sorted = scores;
    std::sort(sorted.rbegin(), sorted.rend());
    const double kth = sorted[size_t(params.topK) - 1];
    for (double &score : scores)
      if (score < kth)
        score = kMasked;
  }
  if (params.topP < 1) {
    // From the least likely upwards, tokens go as long as together they make up at most 1 - top_p.
    const std::vector<double> p = softmax();
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return p[a] != p[b] ? p[a] < p[b] : a > b; });
    double sum = 0;
    for (size_t i = 0; i + 1 < n; ++i) {
      sum += p[order[i]];
      if (sum <= 1 - params.topP)
        scores[order[i]] = kMasked;
    }
  }
  if (params.minP > 0) {
    const std::vector<double> p = softmax();
    const double most = *std::max_element(p.begin(), p.end());
    for (size_t i = 0; i < n; ++i)
      if (p[i] < params.minP * most)
        scores[i] = kMasked;
  }
  return softmax();
}

std::vector<float> randomLogits(size_t n, uint64_t seed, float spread) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(n);
  for (float &x : logits)
    x = normal(random);
  return logits;
}

/// Draws many positions; every token must have a probability above zero, and the counts must be
/// what that probability makes likely (chi-squared, five standard deviations).
void checkDraws(const std::vector<float> &logits, const SamplingParams &params,
                const std::vector<int32_t> &history = {}) {
  const std::vector<double> expected = referenceDistribution(logits, params, history);
  constexpr int kDraws = 20000;
  std::vector<int> counts(logits.size());
  Sampler sampler;
  for (int i = 0; i < kDraws; ++i) {
    const auto token = sampler.sample(logits, params, uint64_t(i), {history});
    ASSERT_TRUE(token.isOk());
    ++counts[size_t(*token)];
  }
  double chi = 0, restExpected = 0, restCount = 0;
  int cells = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (expected[i] == 0) {
      ASSERT_EQ(counts[i], 0) << "token " << i << " was filtered out";
    }
    const double want = expected[i] * kDraws;
    if (want < 10) {
      restExpected += want;
      restCount += counts[i];
      continue;
    }
    chi += (counts[i] - want) * (counts[i] - want) / want;
    ++cells;
  }
  if (restExpected >= 10) {
    chi += (restCount - restExpected) * (restCount - restExpected) / restExpected;
    ++cells;
  }
  EXPECT_LT(chi, cells + 5 * std::sqrt(2.0 * cells));
}

TEST(Sampler, FollowsTheReferenceDistribution) {
  uint64_t seed = 0;
  for (double temperature : {0.6, 1.0, 1.7})
    for (int64_t topK : {0, 1, 7, 20, 1000})
      for (double topP : {1.0, 0.95, 0.5, 0.01})
        for (double minP : {0.0, 0.1}) {
          SamplingParams params = {temperature, topK, topP, minP, ++seed};
          checkDraws(randomLogits(60, seed, 2), params);
        }
}

TEST(Sampler, PenalisesWhatOccurred) {
  uint64_t seed = 100;
  for (double penalty : {1.3, 0.7, 4.0})
    for (int64_t topK : {0, 7}) {
      SamplingParams params = {0.8, topK, 0.9, 0, ++seed, penalty};
      checkDraws(randomLogits(60, seed, 2), params, {3, 59, 3, 17, 0, 3, 44});
    }
}

/// The example of transformers' own test of RepetitionPenaltyLogitsProcessor: penalty 2 over the
/// ids 0 and 1 turns -1/20 into -1/10 and 1/20 into 1/40 and leaves the rest at 1/20.
TEST(Sampler, PenaltyOfTransformersExample) {
  std::vector<float> logits(20, 1.0f / 20);
  logits[0] = -1.0f / 20;
  Sampler sampler;
  SamplingParams params;
  params.temperature = 0;
  params.repetitionPenalty = 2;
  const std::vector<int32_t> history = {0, 1}, repeated = {1, 1, 1, 0};
  EXPECT_EQ(*sampler.sample(logits, params, 0), 1);
  EXPECT_EQ(*sampler.sample(logits, params, 0, {history}), 2);
  logits.assign(20, -1.0f); // 0 and 1 go to -2 and below
  logits[1] = 1;            // and to 1/2
  EXPECT_EQ(*sampler.sample(logits, params, 0, {history}), 1);
  logits[2] = 0.5f; // a tie with the penalised 1: the lowest id
  EXPECT_EQ(*sampler.sample(logits, params, 0, {history}), 1);
  logits[2] = 0.51f;
  EXPECT_EQ(*sampler.sample(logits, params, 0, {history}), 2);
  // The same token twice counts once.
  EXPECT_EQ(*sampler.sample(logits, params, 0, {repeated}), 2);
  logits[2] = 0.3f;
  EXPECT_EQ(*sampler.sample(logits, params, 0, {repeated}), 1);
}

TEST(Sampler, TheReferenceNoticesAWrongFilter) {
  // The check above can fail: another top-k gives another distribution.
  const std::vector<float> logits = randomLogits(60, 3, 2);
  SamplingParams params = {1, 7, 1, 0, 1};
  const std::vector<double> seven = referenceDistribution(logits, params);
  params.topK = 8;
  const std::vector<double> eight = referenceDistribution(logits, params);
  EXPECT_EQ(std::count(seven.begin(), seven.end(), 0.0), 53);
  EXPECT_EQ(std::count(eight.begin(), eight.end(), 0.0), 52);
}

TEST(Sampler, KeepsTheRightTokensOfALargeVocabulary) {
  const std::vector<float> logits = randomLogits(50000, 11, 3);
  SamplingParams params = {0.8, 0, 0.9, 0, 4};
  const std::vector<double> expected = referenceDistribution(logits, params);
  Sampler sampler;
  for (uint64_t position = 0; position < 300; ++position)
    ASSERT_GT(expected[size_t(*sampler.sample(logits, params, position))], 0);
}

TEST(Sampler, GreedyTakesTheLowestOfEquals) {
  Sampler sampler;
  SamplingParams greedy;
  greedy.temperature = 0;
  EXPECT_EQ(*sampler.sample(std::vector<float>{1, 3, 2, 3}, greedy, 0), 1);
  EXPECT_EQ(*sampler.sample(std::vector<float>{-5}, greedy, 0), 0);
}

TEST(Sampler, TiesAtTheKthStay) {
  Sampler sampler;
  const SamplingParams params = {1, 2, 1, 0, 9};
  std::vector<int> counts(4);
  for (uint64_t i = 0; i < 3000; ++i)
    ++counts[size_t(*sampler.sample(std::vector<float>{2, 1, 0, 1}, params, i))];
  EXPECT_GT(counts[1], 0);
  EXPECT_EQ(counts[2], 0);
  EXPECT_GT(counts[3], 0);
}

TEST(Sampler, IsAFunctionOfSeedAndPosition) {
  const std::vector<float> logits = randomLogits(100, 5, 0.1f);
  SamplingParams params = {1, 0, 1, 0, 1};
  Sampler one, other;
  std::vector<int32_t> forwards, backwards, otherSeed;
  for (uint64_t i = 0; i < 50; ++i)
    forwards.push_back(*one.sample(logits, params, i));
  for (uint64_t i = 50; i-- > 0;)
    backwards.insert(backwards.begin(), *other.sample(logits, params, i));
  params.seed = 2;
  for (uint64_t i = 0; i < 50; ++i)
    otherSeed.push_back(*one.sample(logits, params, i));
  EXPECT_EQ(forwards, backwards);
  EXPECT_NE(forwards, otherSeed);
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
  Sampler sampler;
  for (float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF})
    for (double temperature : {0.0, 1.0}) {
      SamplingParams params;
      params.temperature = temperature;
      EXPECT_EQ(sampler.sample(std::vector<float>{1, bad, 2}, params, 12).status().message(),
                "the logits for position 12 are not finite (token id 1)");
    }
}

TEST(Sampler, ExtremeTemperaturesAndLogits) {
  Sampler sampler;
  SamplingParams cold = {1e-30, 0, 1, 0, 3};
  EXPECT_EQ(*sampler.sample(std::vector<float>{1, 1.5f, 1.25f}, cold, 0), 1);
  SamplingParams narrow = {1, 0, 1e-9, 1, 3};
  EXPECT_EQ(*sampler.sample(std::vector<float>{-3e38f, 3e38f, 0}, narrow, 5), 1);
}

TEST(Sampler, ChecksItsParameters) {
  SamplingParams params;
  EXPECT_TRUE(params.check().isOk());
  params.temperature = std::nan("");
  EXPECT_FALSE(params.check().isOk());
  params = {};
  params.topP = 0;
  EXPECT_EQ(params.check().message(), "top-p: expected more than 0 and at most 1");
  params = {};
  params.repetitionPenalty = 0;
  EXPECT_EQ(params.check().message(), "repetition-penalty: expected a number above 0");
}

} // namespace
} // namespace sinter
