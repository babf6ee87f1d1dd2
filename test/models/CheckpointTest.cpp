//===- CheckpointTest.cpp - files, shards and the tensors in them ---------===//
#include "models/Checkpoint.h"

#include "sinter/Support/Json.h"
#include "test/Support/SafetensorsText.h"
#include "test/Support/TempDir.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace sinter;
using namespace sinter::models;
using sinter::testing::safetensorsFile;
using sinter::testing::TempDir;
using sinter::testing::TensorSpec;

namespace {

ModelConfig smallConfig() {
  ModelConfig c;
  c.hidden = 8;
  c.intermediate = 12;
  c.layers = 2;
  c.heads = 4;
  c.kvHeads = 2;
  c.headDim = 6;
  c.vocab = 10;
  return c;
}

struct Options {
  bool qkNorm = true;
  bool qkvBias = false;
  bool oBias = false;
  bool head = true;
};

/// The tensors of smallConfig, spelled out rather than computed.
std::vector<TensorSpec> smallTensors(const Options &options = {}) {
  std::vector<TensorSpec> list = {{"model.embed_tokens.weight", {10, 8}},
                                  {"model.norm.weight", {8}}};
  if (options.head)
    list.push_back({"lm_head.weight", {10, 8}});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    const std::vector<TensorSpec> own = {{layer + "input_layernorm.weight", {8}},
                                         {layer + "post_attention_layernorm.weight", {8}},
                                         {layer + "self_attn.q_proj.weight", {24, 8}},
                                         {layer + "self_attn.k_proj.weight", {12, 8}},
                                         {layer + "self_attn.v_proj.weight", {12, 8}},
                                         {layer + "self_attn.o_proj.weight", {8, 24}},
                                         {layer + "mlp.gate_proj.weight", {12, 8}},
                                         {layer + "mlp.up_proj.weight", {12, 8}},
                                         {layer + "mlp.down_proj.weight", {8, 12}}};
    list.insert(list.end(), own.begin(), own.end());
    if (options.qkNorm) {
      list.push_back({layer + "self_attn.q_norm.weight", {6}});
      list.push_back({layer + "self_attn.k_norm.weight", {6}});
    }
    if (options.qkvBias) {
      list.push_back({layer + "self_attn.q_proj.bias", {24}});
      list.push_back({layer + "self_attn.k_proj.bias", {12}});
      list.push_back({layer + "self_attn.v_proj.bias", {12}});
    }
    if (options.oBias)
      list.push_back({layer + "self_attn.o_proj.bias", {8}});
  }
  return list;
}

Result<WeightVariants> check(const ModelConfig &config, const std::vector<TensorSpec> &tensors) {
  TempDir dir;
  dir.write("model.safetensors", safetensorsFile(tensors));
  auto checkpoint = openCheckpoint(dir.path());
  if (!checkpoint)
    return checkpoint.status();
  return checkTensors(config, *checkpoint);
}

std::string refusal(const ModelConfig &config, const std::vector<TensorSpec> &tensors) {
  auto variants = check(config, tensors);
  EXPECT_FALSE(variants.isOk());
  return variants.status().message();
}

std::vector<TensorSpec> without(std::vector<TensorSpec> list, const std::string &name) {
  const auto end =
      std::remove_if(list.begin(), list.end(), [&](const TensorSpec &t) { return t.name == name; });
  EXPECT_EQ(list.end() - end, 1) << name;
  list.erase(end, list.end());
  return list;
}

std::vector<TensorSpec> with(std::vector<TensorSpec> list, const TensorSpec &tensor) {
  for (TensorSpec &old : list)
    if (old.name == tensor.name) {
      old = tensor;
      return list;
    }
  list.push_back(tensor);
  return list;
}

TEST(CheckTensors, RecordsTheVariants) {
  ModelConfig config = smallConfig();
  auto plain = check(config, smallTensors());
  ASSERT_TRUE(plain.isOk()) << plain.status().message();
  EXPECT_TRUE(plain->hasQkNorm);
  EXPECT_FALSE(plain->hasQkvBias);
  EXPECT_FALSE(plain->hasOBias);
  auto noNorm = check(config, smallTensors({false, false, false, true}));
  ASSERT_TRUE(noNorm.isOk()) << noNorm.status().message();
  EXPECT_FALSE(noNorm->hasQkNorm);
  config.attentionBias = true;
  auto bias = check(config, smallTensors({true, true, false, true}));
  ASSERT_TRUE(bias.isOk()) << bias.status().message();
  EXPECT_TRUE(bias->hasQkvBias);
  EXPECT_FALSE(bias->hasOBias);
  auto all = check(config, smallTensors({true, true, true, true}));
  ASSERT_TRUE(all.isOk()) << all.status().message();
  EXPECT_TRUE(all->hasOBias);
}

TEST(CheckTensors, EveryTensorIsNeeded) {
  const ModelConfig config = smallConfig();
  for (const TensorSpec &tensor : smallTensors()) {
    const std::string message = refusal(config, without(smallTensors(), tensor.name));
    EXPECT_NE(message.find("tensor \"" + tensor.name), std::string::npos)
        << tensor.name << ": " << message;
  }
  EXPECT_EQ(refusal(config, without(smallTensors(), "model.layers.1.mlp.up_proj.weight")),
            "model.safetensors: tensor \"model.layers.1.mlp.up_proj.weight\" is missing");
}

TEST(CheckTensors, EveryShapeIsChecked) {
  const ModelConfig config = smallConfig();
  for (TensorSpec tensor : smallTensors()) {
    tensor.shape.back() += 1;
    const std::string message = refusal(config, with(smallTensors(), tensor));
    EXPECT_NE(message.find("tensor \"" + tensor.name + "\": shape ["), std::string::npos)
        << message;
  }
  EXPECT_EQ(refusal(config, with(smallTensors(), {"model.layers.1.mlp.up_proj.weight", {12, 7}})),
            "model.safetensors: tensor \"model.layers.1.mlp.up_proj.weight\": shape [12, 7], "
            "config.json needs [12, 8]");
  EXPECT_EQ(refusal(config, with(smallTensors(), {"model.norm.weight", {8, 1}})),
            "model.safetensors: tensor \"model.norm.weight\": shape [8, 1], config.json needs [8]");
}

TEST(CheckTensors, ElementTypes) {
  const ModelConfig config = smallConfig();
  EXPECT_TRUE(check(config, with(smallTensors(), {"model.norm.weight", {8}, "F32"})).isOk());
  EXPECT_EQ(refusal(config, with(smallTensors(), {"model.norm.weight", {8}, "I32"})),
            "model.safetensors: tensor \"model.norm.weight\": element type I32 is not supported "
            "(BF16, F16 and F32 are)");
  EXPECT_EQ(refusal(config, with(smallTensors(), {"model.norm.weight", {8}, "F16"})),
            "model.safetensors: tensor \"model.norm.weight\": element type F16, but "
            "\"model.embed_tokens.weight\" is BF16");
}

TEST(CheckTensors, PartialPresence) {
  ModelConfig config = smallConfig();
  const std::string layer0 = "model.layers.0.self_attn.", layer1 = "model.layers.1.self_attn.";
  const auto message = [](const std::string &absent, const std::string &witness) {
    return "model.safetensors: tensor \"" + absent + "\" is missing, but \"" + witness +
           "\" is there";
  };
  EXPECT_EQ(refusal(config, without(smallTensors(), layer1 + "q_norm.weight")),
            message(layer1 + "q_norm.weight", layer0 + "q_norm.weight"));
  EXPECT_EQ(refusal(config, without(smallTensors(), layer0 + "k_norm.weight")),
            message(layer0 + "k_norm.weight", layer0 + "q_norm.weight"));
  EXPECT_EQ(refusal(config, with(smallTensors({false, false, false, true}),
                                 {layer1 + "k_norm.weight", {6}})),
            message(layer0 + "q_norm.weight", layer1 + "k_norm.weight"));
  config.attentionBias = true;
  EXPECT_EQ(
      refusal(config, without(smallTensors({true, true, true, true}), layer1 + "o_proj.bias")),
      message(layer1 + "o_proj.bias", layer0 + "o_proj.bias"));
  EXPECT_EQ(
      refusal(config, with(smallTensors({true, true, false, true}), {layer1 + "o_proj.bias", {8}})),
      message(layer0 + "o_proj.bias", layer1 + "o_proj.bias"));
}

TEST(CheckTensors, BiasMustAgreeWithTheConfiguration) {
  ModelConfig config = smallConfig();
  for (const char *bias : {"q_proj.bias", "k_proj.bias", "v_proj.bias", "o_proj.bias"}) {
    const std::string name = std::string("model.layers.1.self_attn.") + bias;
    EXPECT_EQ(refusal(config, with(smallTensors(), {name, {8}})),
              "model.safetensors: tensor \"" + name +
                  "\" is present, config.json has \"attention_bias\": false");
  }
  config.attentionBias = true;
  EXPECT_EQ(refusal(config, smallTensors()),
            "model.safetensors: tensor \"model.layers.0.self_attn.q_proj.bias\" is missing");
  const std::string v1 = "model.layers.1.self_attn.v_proj.bias";
  EXPECT_EQ(refusal(config, without(smallTensors({true, true, false, true}), v1)),
            "model.safetensors: tensor \"" + v1 + "\" is missing");
}

TEST(CheckTensors, TiedHead) {
  ModelConfig config = smallConfig();
  EXPECT_EQ(refusal(config, without(smallTensors(), "lm_head.weight")),
            "model.safetensors: tensor \"lm_head.weight\" is missing");
  config.tieWordEmbeddings = true;
  EXPECT_TRUE(check(config, without(smallTensors(), "lm_head.weight")).isOk());
  EXPECT_TRUE(check(config, smallTensors()).isOk()) << "tied: the head's own tensor is not read";
}

TEST(CheckTensors, TensorsNobodyReadsAreRefused) {
  const ModelConfig config = smallConfig();
  EXPECT_EQ(refusal(config, with(smallTensors(), {"model.layers.2.mlp.up_proj.weight", {12, 8}})),
            "model.safetensors: tensor \"model.layers.2.mlp.up_proj.weight\" is not part of the "
            "model that config.json describes");
  EXPECT_TRUE(
      check(config, with(smallTensors(), {"model.layers.0.self_attn.rotary_emb.inv_freq", {3}}))
          .isOk())
      << "old checkpoints carry the table";
}

/// A directory with two shards of two tensors, and the index given.
struct Shards {
  TempDir dir;
  explicit Shards(const std::string &index) {
    dir.write("m1.safetensors", safetensorsFile({{"a", {2}}, {"b", {3}}}));
    dir.write("m2.safetensors", safetensorsFile({{"c", {4}}}));
    dir.write("model.safetensors.index.json", index);
  }
  std::string refusal() const {
    auto checkpoint = openCheckpoint(dir.path());
    EXPECT_FALSE(checkpoint.isOk());
    return checkpoint.status().message();
  }
};

constexpr const char *kIndex = "model.safetensors.index.json: ";

TEST(Checkpoint, OpensShards) {
  Shards shards(R"({"metadata": {"total_size": 18},
      "weight_map": {"a": "m1.safetensors", "b": "m1.safetensors", "c": "m2.safetensors"}})");
  auto checkpoint = openCheckpoint(shards.dir.path());
  ASSERT_TRUE(checkpoint.isOk()) << checkpoint.status().message();
  EXPECT_EQ(checkpoint->files().size(), 2u);
  EXPECT_EQ(checkpoint->mainFile(), "model.safetensors.index.json");
  auto c = checkpoint->lookup("c");
  ASSERT_TRUE(c.has_value());
  EXPECT_EQ(checkpoint->fileName(c->file), "m2.safetensors");
  EXPECT_EQ(c->tensor->shape, std::vector<int64_t>{4});
  EXPECT_FALSE(checkpoint->lookup("d").has_value());
  Checkpoint moved = *std::move(checkpoint);
  EXPECT_EQ(moved.lookup("a")->tensor, moved.files()[0].header().find("a"));
}

TEST(Checkpoint, ShardsThatDisagreeWithTheIndex) {
  EXPECT_EQ(Shards(R"({"weight_map": {"a": "m1.safetensors", "b": "m2.safetensors",
                                      "c": "m2.safetensors"}})")
                .refusal(),
            "m1.safetensors: tensor \"b\" is here, model.safetensors.index.json says it is in "
            "\"m2.safetensors\"");
  EXPECT_EQ(Shards(R"({"weight_map": {"a": "m1.safetensors", "c": "m2.safetensors"}})").refusal(),
            "m1.safetensors: tensor \"b\" is not listed in model.safetensors.index.json");
  EXPECT_EQ(
      Shards(R"({"weight_map": {"a": "m1.safetensors", "b": "m1.safetensors",
                                      "c": "m2.safetensors", "d": "m2.safetensors"}})")
          .refusal(),
      "m2.safetensors: tensor \"d\" is missing, model.safetensors.index.json says it is here");
  Shards gone(
      R"({"weight_map": {"a": "m1.safetensors", "b": "m1.safetensors", "c": "m3.safetensors"}})");
  EXPECT_EQ(gone.refusal(),
            std::string(kIndex) + "names \"m3.safetensors\", which is not in " + gone.dir.path());
}

TEST(Checkpoint, ATensorInTwoShards) {
  Shards shards(R"({"weight_map": {"a": "m1.safetensors", "b": "m1.safetensors",
                                   "c": "m2.safetensors"}})");
  shards.dir.write("m2.safetensors", safetensorsFile({{"c", {4}}, {"a", {2}}}));
  EXPECT_EQ(shards.refusal(), "m2.safetensors: tensor \"a\" is here, model.safetensors.index.json "
                              "says it is in \"m1.safetensors\"");
}

TEST(Checkpoint, MalformedIndex) {
  const std::string index = kIndex;
  EXPECT_EQ(Shards("{}").refusal(), index + "\"weight_map\": missing");
  EXPECT_EQ(Shards("[]").refusal(), index + "\"weight_map\": missing");
  EXPECT_EQ(Shards(R"({"weight_map": {}})").refusal(),
            index + "\"weight_map\": expected an object of file names, got {}");
  EXPECT_EQ(Shards(R"({"weight_map": {"a": 3}})").refusal(),
            index + "tensor \"a\": expected a file name, got 3");
  EXPECT_EQ(Shards(R"({"weight_map": {"a": "m1.safetensors", "a": "m2.safetensors"}})").refusal(),
            index + "key \"a\" appears twice");
  EXPECT_EQ(Shards("{").refusal().substr(0, 60), index + "not valid JSON at byte 1 (line");
}

TEST(Checkpoint, PathsThatLeaveTheDirectory) {
  for (const std::string path :
       {"../m1.safetensors", "/etc/passwd", "sub/m1.safetensors", "..", ""})
    EXPECT_EQ(Shards("{\"weight_map\": {\"a\": \"" + path + "\"}}").refusal(),
              kIndex + ("tensor \"a\": \"" + path +
                        "\" is not the name of a file in the model directory"));
  EXPECT_EQ(Shards(R"({"weight_map": {"a": "m\u0000"}})").refusal(),
            std::string(kIndex) +
                "tensor \"a\": \"m\\x00\" is not the name of a file in the model directory");
}

TEST(Checkpoint, NeitherFile) {
  TempDir dir;
  auto checkpoint = openCheckpoint(dir.path());
  EXPECT_EQ(checkpoint.status().code(), StatusCode::NotFound);
  EXPECT_EQ(checkpoint.status().message(),
            dir.path() + ": has neither model.safetensors nor model.safetensors.index.json");
}

TEST(Checkpoint, TheSingleFileComesFirst) {
  Shards shards(R"({"weight_map": {"a": "m1.safetensors"}})");
  shards.dir.write("model.safetensors", safetensorsFile({{"only", {1}}}));
  auto checkpoint = openCheckpoint(shards.dir.path());
  ASSERT_TRUE(checkpoint.isOk()) << checkpoint.status().message();
  EXPECT_TRUE(checkpoint->lookup("only").has_value());
  EXPECT_FALSE(checkpoint->lookup("a").has_value());
}

TEST(Checkpoint, ATruncatedShardIsNamed) {
  Shards shards(R"({"weight_map": {"a": "m1.safetensors", "b": "m1.safetensors",
                                   "c": "m2.safetensors"}})");
  const std::string whole = sinter::testing::readAll(shards.dir.file("m2.safetensors"));
  shards.dir.write("m2.safetensors", whole.substr(0, whole.size() - 1));
  EXPECT_EQ(shards.refusal(),
            "m2.safetensors: tensor \"c\": data ends at byte 8, the file has only "
            "7 bytes of data (truncated?)");
}

} // namespace
