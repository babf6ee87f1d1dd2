//===- ModelConfigTest.cpp - config.json accepted and refused -------------===//
#include "models/ModelConfig.h"

#include "sinter/Support/Json.h"
#include "test/Support/TempDir.h"

#include <gtest/gtest.h>

using namespace sinter;
using namespace sinter::models;
using nlohmann::json;
using sinter::testing::TempDir;

namespace {

json minimal() {
  return {{"model_type", "qwen3"},    {"architectures", {"Qwen3ForCausalLM"}},
          {"hidden_size", 64},        {"intermediate_size", 96},
          {"num_hidden_layers", 2},   {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"head_dim", 32},
          {"vocab_size", 100}};
}

Result<ModelConfig> parse(const json &root) { return parseModelConfig(root.dump(), "config.json"); }

/// The minimal configuration with these keys set.
json with(const json &changes) {
  json root = minimal();
  root.update(changes);
  return root;
}

/// The message that refuses the minimal configuration so changed, without its "config.json: ".
std::string refusal(const json &changes) {
  auto config = parse(with(changes));
  EXPECT_FALSE(config.isOk()) << changes;
  const std::string message = config.status().message();
  EXPECT_EQ(message.substr(0, 13), "config.json: ");
  return message.substr(std::min<size_t>(13, message.size()));
}

std::string refusalWithout(const char *key) {
  json root = minimal();
  root.erase(key);
  auto config = parse(root);
  EXPECT_FALSE(config.isOk()) << key;
  return config.status().message();
}

TEST(ModelConfig, ReadsEveryKey) {
  auto config = parse(with({{"rms_norm_eps", 1e-5},
                            {"rope_theta", 1000000},
                            {"max_position_embeddings", 4096},
                            {"tie_word_embeddings", true},
                            {"attention_bias", true},
                            {"torch_dtype", "float16"},
                            {"bos_token_id", 1},
                            {"pad_token_id", 0},
                            {"eos_token_id", {2, 3}}}));
  ASSERT_TRUE(config.isOk()) << config.status().message();
  EXPECT_EQ(config->architecture, "Qwen3ForCausalLM");
  EXPECT_EQ(config->modelType, "qwen3");
  EXPECT_EQ(config->hidden, 64);
  EXPECT_EQ(config->intermediate, 96);
  EXPECT_EQ(config->layers, 2);
  EXPECT_EQ(config->heads, 4);
  EXPECT_EQ(config->kvHeads, 2);
  EXPECT_EQ(config->headDim, 32);
  EXPECT_EQ(config->vocab, 100);
  EXPECT_EQ(config->rmsNormEps, 1e-5);
  EXPECT_EQ(config->ropeTheta, 1e6);
  EXPECT_EQ(config->maxPositionEmbeddings, 4096);
  EXPECT_TRUE(config->tieWordEmbeddings);
  EXPECT_TRUE(config->attentionBias);
  EXPECT_EQ(config->hiddenAct, "silu");
  EXPECT_EQ(config->dtype, DType::F16);
  EXPECT_EQ(config->bosId, 1);
  EXPECT_EQ(config->padId, 0);
  EXPECT_EQ(config->eosIds, (std::vector<int64_t>{2, 3}));
}

// The defaults of transformers' Qwen3Config.
TEST(ModelConfig, Defaults) {
  json root = minimal();
  for (const char *key : {"head_dim", "num_key_value_heads", "architectures"})
    root.erase(key);
  root["num_attention_heads"] = 64;
  auto config = parse(root);
  ASSERT_TRUE(config.isOk()) << config.status().message();
  EXPECT_EQ(config->headDim, 128);
  EXPECT_EQ(config->kvHeads, 32);
  EXPECT_EQ(config->rmsNormEps, 1e-6);
  EXPECT_EQ(config->ropeTheta, 10000);
  EXPECT_EQ(config->maxPositionEmbeddings, 32768);
  EXPECT_FALSE(config->tieWordEmbeddings);
  EXPECT_FALSE(config->attentionBias);
  EXPECT_FALSE(config->dtype.has_value());
  EXPECT_FALSE(config->bosId.has_value());
  EXPECT_TRUE(config->eosIds.empty());
  EXPECT_EQ(config->ropeScaling.kind, RopeScaling::Kind::None);
}

TEST(ModelConfig, NullMeansDerived) {
  auto config = parse(with({{"num_key_value_heads", nullptr}, {"head_dim", nullptr}}));
  ASSERT_TRUE(config.isOk()) << config.status().message();
  EXPECT_EQ(config->kvHeads, 4);
  EXPECT_EQ(config->headDim, 16);
}

TEST(ModelConfig, ScalarEosBecomesAList) {
  EXPECT_EQ(parse(with({{"eos_token_id", 7}}))->eosIds, std::vector<int64_t>{7});
  EXPECT_TRUE(parse(with({{"eos_token_id", nullptr}}))->eosIds.empty());
}

TEST(ModelConfig, BothDTypeSpellings) {
  EXPECT_EQ(parse(with({{"dtype", "bfloat16"}}))->dtype, DType::BF16);
  EXPECT_EQ(parse(with({{"torch_dtype", "float32"}}))->dtype, DType::F32);
  EXPECT_EQ(parse(with({{"dtype", "float16"}, {"torch_dtype", "float16"}}))->dtype, DType::F16);
  EXPECT_EQ(refusal({{"dtype", "float16"}, {"torch_dtype", "bfloat16"}}),
            "\"dtype\": contradicts \"torch_dtype\"");
  EXPECT_EQ(refusal({{"dtype", "float8"}}),
            "\"dtype\": \"float8\" is not supported (bfloat16, float16 and float32 are)");
  EXPECT_EQ(refusal({{"torch_dtype", 3}}), "\"torch_dtype\": expected a string, got 3");
}

TEST(ModelConfig, RefusesOtherArchitectures) {
  EXPECT_EQ(refusal({{"model_type", "llama"}}),
            "\"model_type\": \"llama\" is not supported (qwen3 is)");
  EXPECT_EQ(refusal({{"architectures", {"LlamaForCausalLM"}}}),
            "\"architectures\": \"LlamaForCausalLM\" is not supported (Qwen3ForCausalLM is)");
  EXPECT_EQ(refusal({{"architectures", "Qwen3ForCausalLM"}}),
            "\"architectures\": expected a list of one name, got \"Qwen3ForCausalLM\"");
  EXPECT_EQ(refusal({{"architectures", json::array()}}),
            "\"architectures\": expected a list of one name, got []");
  EXPECT_EQ(refusalWithout("model_type"), "config.json: \"model_type\": missing");
}

TEST(ModelConfig, RefusesSizes) {
  for (const char *key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "vocab_size"}) {
    const std::string quoted = "\"" + std::string(key) + "\": ";
    EXPECT_EQ(refusalWithout(key), "config.json: " + quoted + "missing");
    EXPECT_EQ(refusal({{key, 0}}), quoted + "expected a positive integer, got 0");
    EXPECT_EQ(refusal({{key, -4}}), quoted + "expected a positive integer, got -4");
    EXPECT_EQ(refusal({{key, "x"}}), quoted + "expected a positive integer, got \"x\"");
    EXPECT_EQ(refusal({{key, 64.0}}), quoted + "expected a positive integer, got 64.0");
    EXPECT_EQ(refusal({{key, int64_t(1) << 40}}).substr(0, quoted.size() + 17),
              quoted + "expected at most ");
  }
  EXPECT_EQ(refusal({{"num_hidden_layers", 5000}}),
            "\"num_hidden_layers\": expected at most 4096, got 5000");
  EXPECT_EQ(refusal({{"max_position_embeddings", 0}}),
            "\"max_position_embeddings\": expected a positive integer, got 0");
  EXPECT_EQ(
      refusal({{"max_position_embeddings", 100000000}}),
      "\"max_position_embeddings\": 100000000 is too large, at most 67108864 with head_dim 32");
  EXPECT_EQ(refusal({{"head_dim", 2000}}), "\"head_dim\": expected at most 1024, got 2000");
}

TEST(ModelConfig, RefusesHeadsThatDoNotDivide) {
  EXPECT_EQ(refusal({{"num_key_value_heads", 3}}),
            "\"num_attention_heads\": 4 is not a multiple of \"num_key_value_heads\", which is 3");
  EXPECT_EQ(refusalWithout("num_key_value_heads"),
            "config.json: \"num_attention_heads\": 4 is not a multiple of \"num_key_value_heads\", "
            "which is 32 by default");
  EXPECT_EQ(refusal({{"num_key_value_heads", 0}}),
            "\"num_key_value_heads\": expected a positive integer, got 0");
  EXPECT_EQ(refusal({{"head_dim", 31}}),
            "\"head_dim\": rotary embedding needs an even number, got 31");
  EXPECT_EQ(refusal({{"head_dim", nullptr}, {"hidden_size", 66}}),
            "\"hidden_size\": 66 is not a multiple of \"num_attention_heads\", which is 4, and "
            "\"head_dim\" is null");
}

TEST(ModelConfig, RefusesWhatTheGraphCannotHonour) {
  EXPECT_EQ(refusal({{"hidden_act", "gelu"}}),
            "\"hidden_act\": \"gelu\" is not supported (silu is)");
  EXPECT_EQ(refusal({{"quantization_config", {{"quant_method", "fp8"}}}}),
            "\"quantization_config\": quantised checkpoints are not supported yet");
  EXPECT_EQ(refusal({{"dual_chunk_attention_config", {{"chunk_size", 1}}}}),
            "\"dual_chunk_attention_config\": dual chunk attention is not supported");
  EXPECT_EQ(refusal({{"mlp_bias", true}}), "\"mlp_bias\": biases in the MLP are not supported");
  EXPECT_EQ(refusal({{"layer_types", {"full_attention"}}}),
            "\"layer_types\": expected a list of \"num_hidden_layers\" = 2 names, got "
            "[\"full_attention\"]");
  EXPECT_EQ(refusal({{"layer_types", {"full_attention", "chunked_attention"}}}),
            "\"layer_types\": \"chunked_attention\" is not supported (full_attention and "
            "sliding_attention are)");
  EXPECT_TRUE(parse(with({{"layer_types", {"full_attention", "full_attention"}}})).isOk());
}

/// By layer, of four.
std::vector<int64_t> windows(json changes) {
  changes["num_hidden_layers"] = 4;
  auto config = parse(with(changes));
  EXPECT_TRUE(config.isOk()) << changes << config.status().message();
  return config ? config->windows : std::vector<int64_t>();
}

TEST(ModelConfig, ReadsSlidingWindowsAsTransformersDoes) {
  using Windows = std::vector<int64_t>;
  const json on = {{"use_sliding_window", true}, {"sliding_window", 100}};
  const auto and_ = [&](const json &more) {
    json changes = on;
    changes.update(more);
    return windows(changes);
  };
  EXPECT_EQ(windows({}), Windows(4, 0));
  EXPECT_EQ(windows({{"sliding_window", 100}, {"max_window_layers", 0}}), Windows(4, 0));
  EXPECT_EQ(windows({{"use_sliding_window", false}, {"sliding_window", 100}}), Windows(4, 0));
  EXPECT_EQ(windows(on), Windows(4, 0)) << "max_window_layers is 28 by default";
  EXPECT_EQ(and_({{"max_window_layers", 0}}), Windows(4, 100));
  EXPECT_EQ(and_({{"max_window_layers", 3}}), (Windows{0, 0, 0, 100}));
  EXPECT_EQ(and_({{"max_window_layers", 4}}), Windows(4, 0));
  const json types = {"full_attention", "sliding_attention", "sliding_attention", "full_attention"};
  EXPECT_EQ(and_({{"layer_types", types}, {"max_window_layers", 0}}), (Windows{0, 100, 100, 0}));
  EXPECT_EQ(windows({{"use_sliding_window", true}, {"max_window_layers", 2}}),
            (Windows{0, 0, 4096, 4096}))
      << "4096 by default";
  EXPECT_EQ(and_({{"max_window_layers", 0}, {"sliding_window", 1}}), Windows(4, 1));
  const json positions = {{"max_window_layers", 0}, {"max_position_embeddings", 100}};
  EXPECT_EQ(and_(positions), Windows(4, 0)) << "it hides nothing";
  // Nobody slides: what the window would be does not matter.
  EXPECT_EQ(windows({{"use_sliding_window", true}, {"sliding_window", nullptr}}), Windows(4, 0));
}

TEST(ModelConfig, RefusesWindowsThatMakeNoSense) {
  const auto refused = [](const json &window) {
    return refusal(
        {{"use_sliding_window", true}, {"max_window_layers", 0}, {"sliding_window", window}});
  };
  EXPECT_EQ(refused(0), "\"sliding_window\": expected a positive integer, got 0");
  EXPECT_EQ(refused(-1), "\"sliding_window\": expected a positive integer, got -1");
  EXPECT_EQ(refused("4096"), "\"sliding_window\": expected a positive integer, got \"4096\"");
  EXPECT_EQ(refused(nullptr), "\"sliding_window\": expected a positive integer, got null");
  EXPECT_EQ(refusal({{"use_sliding_window", 1}}),
            "\"use_sliding_window\": expected true or false, got 1");
  EXPECT_EQ(refusal({{"max_window_layers", -1}}),
            "\"max_window_layers\": expected a non-negative integer, got -1");
  EXPECT_EQ(refusal({{"layer_types", {"sliding_attention", "full_attention"}}}),
            "\"layer_types\": \"sliding_attention\" needs \"use_sliding_window\": true");
}

TEST(ModelConfig, RefusesScalarsOfTheWrongKind) {
  EXPECT_EQ(refusal({{"rms_norm_eps", "1e-6"}}),
            "\"rms_norm_eps\": expected a number, got \"1e-6\"");
  EXPECT_EQ(refusal({{"rms_norm_eps", 0}}),
            "\"rms_norm_eps\": expected a number from 1e-30 to 1, got 0");
  EXPECT_EQ(refusal({{"tie_word_embeddings", 1}}),
            "\"tie_word_embeddings\": expected true or false, got 1");
  EXPECT_EQ(refusal({{"attention_bias", "no"}}),
            "\"attention_bias\": expected true or false, got \"no\"");
  EXPECT_EQ(refusal({{"eos_token_id", "x"}}),
            "\"eos_token_id\": expected a token id or a list of them, got \"x\"");
  EXPECT_EQ(refusal({{"eos_token_id", {1, -1}}}),
            "\"eos_token_id\": expected a token id or a list of them, got [1,-1]");
  EXPECT_EQ(refusal({{"bos_token_id", 4294967296}}),
            "\"bos_token_id\": expected a token id, got 4294967296");
}

TEST(ModelConfig, RefusesTextThatIsNoObject) {
  EXPECT_EQ(parseModelConfig("[1]", "config.json").status().message(),
            "config.json: expected a JSON object, got [1]");
  EXPECT_EQ(parseModelConfig("{", "config.json").status().message().substr(0, 39),
            "config.json: not valid JSON at byte 1 (");
  EXPECT_EQ(parseModelConfig(R"({"a":1,"a":2})", "config.json").status().message(),
            "config.json: key \"a\" appears twice");
}

TEST(ModelConfig, ReadsFromADirectory) {
  TempDir dir;
  EXPECT_EQ(readModelConfig(dir.path()).status().message(),
            dir.file("config.json") + ": cannot open: No such file or directory");
  dir.write("config.json", minimal().dump());
  EXPECT_EQ(readModelConfig(dir.path())->hidden, 64);
}

TEST(RopeConfig, BothSpellings) {
  const json yarn = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 1024}};
  auto old = parse(with({{"rope_scaling", yarn}, {"rope_theta", 5000}}));
  json params = yarn;
  params.erase("type");
  params.update({{"rope_type", "yarn"}, {"rope_theta", 5000}});
  auto fresh = parse(with({{"rope_parameters", params}}));
  for (const auto &config : {old, fresh}) {
    ASSERT_TRUE(config.isOk()) << config.status().message();
    EXPECT_EQ(config->ropeTheta, 5000);
    EXPECT_EQ(config->ropeScaling.kind, RopeScaling::Kind::Yarn);
    EXPECT_EQ(config->ropeScaling.factor, 4);
    EXPECT_EQ(config->ropeScaling.originalMaxPosition, 1024);
    EXPECT_EQ(config->ropeScaling.betaFast, 32);
    EXPECT_EQ(config->ropeScaling.betaSlow, 1);
    EXPECT_TRUE(config->ropeScaling.truncate);
    EXPECT_FALSE(config->ropeScaling.attentionFactor.has_value());
  }
  auto linear = parse(with({{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2}}}}));
  EXPECT_EQ(linear->ropeScaling.kind, RopeScaling::Kind::Linear);
  EXPECT_EQ(linear->ropeScaling.factor, 2);
  auto none = parse(with({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7e5}}}}));
  EXPECT_EQ(none->ropeScaling.kind, RopeScaling::Kind::None);
  EXPECT_EQ(none->ropeTheta, 7e5);
  EXPECT_EQ(parse(with({{"rope_scaling", nullptr}}))->ropeScaling.kind, RopeScaling::Kind::None);
}

TEST(RopeConfig, OriginalLengthComesFromThreePlaces) {
  const json yarn = {{"type", "yarn"}, {"factor", 4.0}};
  EXPECT_EQ(parse(with({{"rope_scaling", yarn}, {"max_position_embeddings", 999}}))
                ->ropeScaling.originalMaxPosition,
            999);
  EXPECT_EQ(parse(with({{"rope_scaling", yarn}, {"original_max_position_embeddings", 777}}))
                ->ropeScaling.originalMaxPosition,
            777);
  json both = yarn;
  both["original_max_position_embeddings"] = 888;
  EXPECT_EQ(refusal({{"rope_scaling", both}, {"original_max_position_embeddings", 777}}),
            "\"rope_scaling\": \"original_max_position_embeddings\": contradicts "
            "\"original_max_position_embeddings\" of config.json itself");
}

TEST(RopeConfig, Refusals) {
  EXPECT_EQ(
      refusal({{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2}}}}),
      "\"rope_scaling\": \"rope_type\": type \"dynamic\" is not supported (default, linear and "
      "yarn are)");
  EXPECT_EQ(
      refusal({{"rope_scaling", {{"type", "llama3"}, {"factor", 2}}}}),
      "\"rope_scaling\": \"type\": type \"llama3\" is not supported (default, linear and yarn "
      "are)");
  EXPECT_EQ(refusal({{"rope_scaling", {{"type", 3}}}}),
            "\"rope_scaling\": \"type\": expected a string, got 3");
  EXPECT_EQ(refusal({{"rope_scaling", "yarn"}}),
            "\"rope_scaling\": expected an object, got \"yarn\"");
  EXPECT_EQ(refusal({{"rope_scaling", {{"type", "linear"}, {"rope_type", "yarn"}, {"factor", 2}}}}),
            "\"rope_scaling\": \"rope_type\": contradicts \"type\"");
  EXPECT_EQ(refusal({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}},
                     {"rope_parameters", {{"rope_type", "default"}}}}),
            "\"rope_parameters\": contradicts \"rope_scaling\"");
  EXPECT_EQ(
      refusal({{"rope_parameters", {{"rope_theta", 2e4}}}, {"rope_theta", 1e4}}),
      "\"rope_parameters\": \"rope_theta\": contradicts \"rope_theta\" of config.json itself");
  EXPECT_EQ(refusal({{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}}),
            "\"rope_parameters\": \"full_attention\": rotary parameters per layer type are not "
            "supported");
  EXPECT_EQ(refusal({{"rope_scaling", {{"type", "linear"}, {"factor", 2}, {"beta_fast", 3}}}}),
            "\"rope_scaling\": \"beta_fast\": has no meaning for this type of rotary scaling");
  EXPECT_EQ(refusal({{"rope_theta", 1}}), "\"rope_theta\": expected a number above 1, got 1");
  EXPECT_EQ(refusal({{"rope_theta", "x"}}), "\"rope_theta\": expected a number, got \"x\"");
  EXPECT_EQ(refusal({{"partial_rotary_factor", 0.5}}),
            "\"partial_rotary_factor\": only 1 is supported, got 0.5");
  EXPECT_EQ(refusal({{"rope_parameters", {{"partial_rotary_factor", 0.5}}}}),
            "\"rope_parameters\": \"partial_rotary_factor\": only 1 is supported, got 0.5");
  EXPECT_EQ(refusal({{"rope_scaling", {{"type", "linear"}}}}),
            "\"rope_scaling\": \"factor\": missing");
  EXPECT_EQ(refusal({{"rope_scaling", {{"type", "linear"}, {"factor", 0.5}}}}),
            "\"rope_scaling\": \"factor\": expected a number of at least 1, got 0.5");
}

TEST(RopeConfig, YarnRefusals) {
  const auto yarn = [](const json &changes) {
    json scaling = {{"type", "yarn"}, {"factor", 4}};
    scaling.update(changes);
    return refusal({{"rope_scaling", scaling}});
  };
  const std::string at = "\"rope_scaling\": ";
  EXPECT_EQ(yarn({{"beta_fast", -1}}),
            at + "\"beta_fast\": expected a non-negative number, got -1");
  EXPECT_EQ(yarn({{"beta_slow", "x"}}), at + "\"beta_slow\": expected a number, got \"x\"");
  EXPECT_EQ(yarn({{"beta_fast", 1}, {"beta_slow", 2}}),
            at + "\"beta_fast\": contradicts \"beta_slow\"");
  EXPECT_EQ(yarn({{"attention_factor", 0}}),
            at + "\"attention_factor\": expected a positive number, got 0");
  EXPECT_EQ(yarn({{"truncate", 1}}), at + "\"truncate\": expected true or false, got 1");
  EXPECT_EQ(yarn({{"mscale", false}}), at + "\"mscale\": expected a number, got false");
  EXPECT_EQ(yarn({{"original_max_position_embeddings", 0}}),
            at + "\"original_max_position_embeddings\": expected a positive integer, got 0");
  EXPECT_EQ(yarn({{"low_freq_factor", 1}}),
            at + "\"low_freq_factor\": has no meaning for this type of rotary scaling");
}

} // namespace
