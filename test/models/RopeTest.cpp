//===- RopeTest.cpp - rotary frequencies against transformers -------------===//
#include "models/ModelConfig.h"
#include "sinter/Support/Half.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace sinter;
using namespace sinter::models;
using nlohmann::json;

namespace {

json goldenCases() {
  auto text = readTextFile(SINTER_SOURCE_DIR "/test/models/rope/golden.json", 1 << 20);
  EXPECT_TRUE(text.isOk()) << text.status().message();
  auto parsed = parseJson(*text, "golden.json");
  EXPECT_TRUE(parsed.isOk()) << parsed.status().message();
  return parsed->at("cases");
}

/// torch's vectorised pow is good to one unit in the last place and differs between instruction
/// sets; the operations after it can double that.
constexpr int kMaxUlps = 2;

int ulpsApart(float a, float b) { return std::abs(int32_t(bitsOf(a)) - int32_t(bitsOf(b))); }

TEST(Rope, FrequenciesMatchTransformers) {
  int total = 0, equal = 0;
  for (const json &golden : goldenCases()) {
    SCOPED_TRACE(golden.at("name").get<std::string>());
    auto config = parseModelConfig(golden.at("config").dump(), "config.json");
    ASSERT_TRUE(config.isOk()) << config.status().message();
    const RopeFrequencies rope = ropeInvFreq(*config);
    const json &bits = golden.at("inv_freq_bits");
    ASSERT_EQ(rope.invFreq.size(), bits.size());
    for (size_t i = 0; i < bits.size(); ++i) {
      const float want = floatOf(uint32_t(std::stoul(bits[i].get<std::string>(), nullptr, 16)));
      EXPECT_LE(ulpsApart(rope.invFreq[i], want), kMaxUlps)
          << i << ": " << rope.invFreq[i] << " " << want;
      ++total;
      equal += rope.invFreq[i] == want;
    }
    EXPECT_FLOAT_EQ(rope.attentionScaling, golden.at("attention_scaling").get<float>());
  }
  EXPECT_GE(equal, total * 9 / 10) << equal << " of " << total << " are equal to the last bit";
}

// The comparison above must be able to fail: each option of the golden configurations matters.
TEST(Rope, EveryOptionChangesTheResult) {
  int checked = 0;
  for (const json &golden : goldenCases()) {
    auto parsed = parseModelConfig(golden.at("config").dump(), "config.json");
    ASSERT_TRUE(parsed.isOk());
    if (golden.at("name") != "yarn, every option")
      continue;
    const RopeFrequencies before = ropeInvFreq(*parsed);
    const auto differs = [&](auto change) {
      ModelConfig config = *parsed;
      change(config);
      const RopeFrequencies after = ropeInvFreq(config);
      ++checked;
      return after.invFreq != before.invFreq || after.attentionScaling != before.attentionScaling;
    };
    EXPECT_TRUE(differs([](ModelConfig &c) { c.ropeTheta *= 1.001; }));
    EXPECT_TRUE(differs([](ModelConfig &c) { c.ropeScaling.factor *= 1.001; }));
    EXPECT_TRUE(differs([](ModelConfig &c) { c.ropeScaling.originalMaxPosition += 100; }));
    EXPECT_TRUE(differs([](ModelConfig &c) { c.ropeScaling.attentionFactor.reset(); }));
    EXPECT_TRUE(differs([](ModelConfig &c) { c.ropeScaling.betaFast += 1; }));
    EXPECT_TRUE(differs([](ModelConfig &c) { c.ropeScaling.betaSlow += 1; }));
    EXPECT_TRUE(differs([](ModelConfig &c) { c.ropeScaling.truncate = true; }));
  }
  EXPECT_EQ(checked, 7);
}

} // namespace
