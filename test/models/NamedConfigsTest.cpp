//===- NamedConfigsTest.cpp - the public configurations -------------------===//
#include "models/NamedConfigs.h"
#include "models/ModelConfig.h"

#include <gtest/gtest.h>

using namespace sinter;
using namespace sinter::models;

namespace {

struct Published {
  const char *name;
  int64_t hidden, intermediate, layers, heads, kvHeads;
  bool tied;
  double billions; ///< parameters, as the model cards state them
};

constexpr Published kPublished[] = {{"qwen3-0.6b", 1024, 3072, 28, 16, 8, true, 0.6},
                                    {"qwen3-1.7b", 2048, 6144, 28, 16, 8, true, 1.7},
                                    {"qwen3-4b", 2560, 9728, 36, 32, 8, true, 4.0},
                                    {"qwen3-8b", 4096, 12288, 36, 32, 8, false, 8.2},
                                    {"qwen3-14b", 5120, 17408, 40, 40, 8, false, 14.8},
                                    {"qwen3-32b", 5120, 25600, 64, 64, 8, false, 32.8}};

/// Parameters of the graph, which ties a wrong dimension to a published number.
double parameterCount(const ModelConfig &c) {
  const double attention =
      double(c.hidden) * double(c.headDim) * double(2 * c.heads + 2 * c.kvHeads);
  const double mlp = 3.0 * double(c.hidden) * double(c.intermediate);
  const double tables = double(c.vocab) * double(c.hidden) * (c.tieWordEmbeddings ? 1 : 2);
  return double(c.layers) * (attention + mlp) + tables;
}

TEST(NamedConfigs, HoldThePublishedSizes) {
  ASSERT_EQ(namedConfigs().size(), std::size(kPublished));
  for (const Published &want : kPublished) {
    SCOPED_TRACE(want.name);
    const auto text = findNamedConfig(want.name);
    ASSERT_TRUE(text.has_value());
    const auto config = parseModelConfig(*text, want.name);
    ASSERT_TRUE(config.isOk()) << config.status().message();
    EXPECT_EQ(config->hidden, want.hidden);
    EXPECT_EQ(config->intermediate, want.intermediate);
    EXPECT_EQ(config->layers, want.layers);
    EXPECT_EQ(config->heads, want.heads);
    EXPECT_EQ(config->kvHeads, want.kvHeads);
    EXPECT_EQ(config->tieWordEmbeddings, want.tied);
    EXPECT_EQ(config->headDim, 128);
    EXPECT_EQ(config->vocab, 151936);
    EXPECT_EQ(config->maxPositionEmbeddings, 40960);
    EXPECT_EQ(config->ropeTheta, 1e6);
    EXPECT_EQ(config->rmsNormEps, 1e-6);
    EXPECT_EQ(config->dtype, DType::BF16);
    EXPECT_FALSE(config->attentionBias);
    EXPECT_EQ(config->bosId, 151643);
    EXPECT_EQ(config->eosIds, std::vector<int64_t>{151645});
    EXPECT_NEAR(parameterCount(*config) / 1e9, want.billions, 0.05);
  }
}

TEST(NamedConfigs, UnknownNameIsNone) {
  EXPECT_FALSE(findNamedConfig("qwen3-5b").has_value());
  EXPECT_FALSE(findNamedConfig("").has_value());
}

} // namespace
