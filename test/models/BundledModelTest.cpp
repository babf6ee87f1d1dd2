//===- BundledModelTest.cpp - a checkpoint that transformers wrote --------===//
//
// The other tests read what they wrote themselves; this one reads files saved by transformers.
//
//===----------------------------------------------------------------------===//
#include "models/Checkpoint.h"
#include "models/GenerationConfig.h"
#include "models/ModelConfig.h"

#include <gtest/gtest.h>

using namespace sinter;
using namespace sinter::models;

namespace {

const std::string kModel = SINTER_SOURCE_DIR "/models/shakespeare";

TEST(BundledModel, ConfigurationAndTensorsAgree) {
  auto config = readModelConfig(kModel);
  ASSERT_TRUE(config.isOk()) << config.status().message();
  EXPECT_EQ(config->heads, 2 * config->kvHeads);
  EXPECT_EQ(config->headDim, 128);
  auto checkpoint = openCheckpoint(kModel);
  ASSERT_TRUE(checkpoint.isOk()) << checkpoint.status().message();
  auto variants = checkTensors(*config, *checkpoint);
  ASSERT_TRUE(variants.isOk()) << variants.status().message();
  EXPECT_TRUE(variants->hasQkNorm);
  EXPECT_FALSE(variants->hasQkvBias);
  auto embedding = checkpoint->lookup("model.embed_tokens.weight");
  ASSERT_TRUE(embedding.has_value());
  EXPECT_EQ(embedding->tensor->shape, (std::vector<int64_t>{config->vocab, config->hidden}));
  auto generation = readGenerationConfig(kModel, *config);
  ASSERT_TRUE(generation.isOk()) << generation.status().message();

  ModelConfig wrong = *config;
  wrong.intermediate += 1;
  EXPECT_FALSE(checkTensors(wrong, *checkpoint).isOk());
}

} // namespace
