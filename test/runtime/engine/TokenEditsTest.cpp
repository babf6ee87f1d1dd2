//===- TokenEditsTest.cpp - lists of edits against TokenScores ------------===//
#include "runtime/engine/TokenEdits.h"

#include "runtime/engine/TokenScores.h"
#include "test/runtime/fake/DrawRow.h"

#include <gtest/gtest.h>
#include <random>
#include <set>

namespace sinter {
namespace {

constexpr size_t kVocab = 50;

SamplingParams randomParams(std::mt19937_64 &random) {
  SamplingParams params;
  const double repetitions[] = {1, 1.1, 0.7, 1e30};
  const double penalties[] = {0, 0.3, -1.7};
  params.repetitionPenalty = repetitions[random() % 4];
  params.presencePenalty = penalties[random() % 3];
  params.frequencyPenalty = penalties[random() % 3];
  const std::pair<int32_t, float> biases[] = {{3, 1.5f}, {49, -100.f}, {7, 3e38f}, {50, 9.f}};
  params.logitBias.assign(biases, biases + random() % 5);
  return params;
}

std::vector<float> edited(std::span<const float> logits, SinterSampling row) {
  std::set<int32_t> tokens;
  for (uint32_t i = 0; i < row.num_edits; ++i)
    EXPECT_TRUE(tokens.insert(row.edits[i].token).second) << "no token stands there twice";
  std::vector<float> scores(logits.begin(), logits.end());
  fake::editRow(scores, row, row.edits);
  return scores;
}

// Bit for bit, with a history that grows by a few tokens at a time and guesses behind it.
TEST(TokenEdits, AreWhatTokenScoresDoes) {
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal(0, 4);
  for (int i = 0; i < 400; ++i) {
    const SamplingParams params = randomParams(random);
    std::vector<int32_t> history;
    const auto grow = [&](size_t count) {
      while (count-- > 0)
        history.push_back(int32_t(random() % (random() % 2 ? 5 : kVocab)));
    };
    grow(1 + random() % 30);
    const size_t prompt = history.size();
    TokenEdits edits;
    TokenScores reference;
    for (int step = 0; step < 12; ++step) {
      std::vector<float> logits(kVocab);
      for (float &x : logits)
        x = normal(random) * (random() % 9 ? 1 : 1e37f);
      const auto expect = [&](const SinterSampling &row, std::span<const int32_t> all) {
        const std::span<const float> expected = reference.apply(logits, params, {all, prompt});
        ASSERT_EQ(edited(logits, row), std::vector<float>(expected.begin(), expected.end()));
      };
      SinterSampling row = params.forDevice(history.size());
      edits.describe(params, history, prompt, row);
      expect(row, history);
      const size_t known = history.size();
      grow(random() % 4);
      if (params.penalizes()) {
        const std::span<const int32_t> all = history;
        const std::vector<SinterTokenEdit> guessed = edits.after(all.subspan(known));
        row.edits = guessed.data();
        row.num_edits = uint32_t(guessed.size());
        expect(row, all);
      }
      if (random() % 2) // the guesses come true, or something else comes
        history.resize(known);
      grow(1);
    }
  }
}

// What the list costs: the tokens that it has to name, however often they occurred.
TEST(TokenEdits, NameNoMoreThanTheyMust) {
  const std::vector<int32_t> history = {5, 5, 6, /*generated:*/ 7, 5, 7};
  const auto count = [&](const SamplingParams &params) {
    TokenEdits edits;
    SinterSampling row = {};
    edits.describe(params, history, 3, row);
    return row.num_edits;
  };
  SamplingParams params;
  EXPECT_EQ(count(params), 0u);
  params.presencePenalty = 1;
  EXPECT_EQ(count(params), 2u) << "the prompt does not count";
  params.repetitionPenalty = 1.1;
  EXPECT_EQ(count(params), 3u);
  params.logitBias = {{5, 1.f}, {9, 1.f}};
  EXPECT_EQ(count(params), 4u);
}

} // namespace
} // namespace sinter
