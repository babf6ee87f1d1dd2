//===- GenerationConfigTest.cpp - generation_config.json ------------------===//
#include "models/GenerationConfig.h"

#include "test/Support/TempDir.h"

#include <gtest/gtest.h>

using namespace sinter;
using namespace sinter::models;
using sinter::testing::TempDir;

namespace {

std::string refusal(const std::string &text) {
  auto config = parseGenerationConfig(text, "generation_config.json");
  EXPECT_FALSE(config.isOk()) << text;
  return config.status().message().substr(24);
}

TEST(GenerationConfig, ReadsWhatQwenShips) {
  auto config = parseGenerationConfig(R"({"bos_token_id": 151643, "do_sample": true,
      "eos_token_id": [151645, 151643], "pad_token_id": 151643, "temperature": 0.6, "top_k": 20,
      "top_p": 0.95, "transformers_version": "4.51.0"})",
                                      "generation_config.json");
  ASSERT_TRUE(config.isOk()) << config.status().message();
  EXPECT_TRUE(config->doSample);
  EXPECT_EQ(config->eosIds, (std::vector<int64_t>{151645, 151643}));
  EXPECT_EQ(config->bosId, 151643);
  EXPECT_EQ(config->padId, 151643);
  EXPECT_EQ(config->temperature, 0.6);
  EXPECT_EQ(config->topK, 20);
  EXPECT_EQ(config->topP, 0.95);
  EXPECT_EQ(config->minP, 0);
  EXPECT_EQ(config->repetitionPenalty, 1);
}

TEST(GenerationConfig, DefaultsAreThoseOfTransformers) {
  auto config = parseGenerationConfig("{}", "g");
  ASSERT_TRUE(config.isOk());
  EXPECT_FALSE(config->doSample);
  EXPECT_EQ(config->temperature, 1);
  EXPECT_EQ(config->topK, 50);
  EXPECT_EQ(config->topP, 1);
  EXPECT_TRUE(config->eosIds.empty());
  EXPECT_FALSE(config->maxNewTokens);
  EXPECT_FALSE(config->maxLength);
}

TEST(GenerationConfig, ReadsPenaltyAndLengths) {
  auto config = parseGenerationConfig(
      R"({"repetition_penalty": 1.1, "max_new_tokens": 2048, "max_length": 32768})", "g");
  ASSERT_TRUE(config.isOk()) << config.status().message();
  EXPECT_EQ(config->repetitionPenalty, 1.1);
  EXPECT_EQ(config->maxNewTokens, 2048);
  EXPECT_EQ(config->maxLength, 32768);
}

TEST(GenerationConfig, Refusals) {
  EXPECT_EQ(refusal(R"({"temperature": -1})"),
            "\"temperature\": expected a non-negative number, got -1");
  EXPECT_EQ(refusal(R"({"temperature": "hot"})"),
            "\"temperature\": expected a number, got \"hot\"");
  EXPECT_EQ(refusal(R"({"top_p": 0})"),
            "\"top_p\": expected a number above 0 and at most 1, got 0");
  EXPECT_EQ(refusal(R"({"top_p": 1.5})"),
            "\"top_p\": expected a number above 0 and at most 1, got 1.5");
  EXPECT_EQ(refusal(R"({"min_p": 2})"), "\"min_p\": expected a number from 0 to 1, got 2");
  EXPECT_EQ(refusal(R"({"repetition_penalty": 0})"),
            "\"repetition_penalty\": expected a positive number, got 0");
  EXPECT_EQ(refusal(R"({"top_k": -1})"), "\"top_k\": expected a non-negative integer, got -1");
  EXPECT_EQ(refusal(R"({"do_sample": 1})"), "\"do_sample\": expected true or false, got 1");
  EXPECT_EQ(refusal(R"({"eos_token_id": [1, "x"]})"),
            "\"eos_token_id\": expected a token id or a list of them, got [1,\"x\"]");
  EXPECT_EQ(refusal(R"({"pad_token_id": -1})"), "\"pad_token_id\": expected a token id, got -1");
  EXPECT_EQ(refusal(R"({"num_beams": 4})"),
            "\"num_beams\": this kind of decoding is not supported");
  EXPECT_EQ(refusal(R"({"stop_strings": ["x"]})"),
            "\"stop_strings\": this kind of decoding is not supported");
  EXPECT_EQ(refusal(R"({"suppress_tokens": [3]})"),
            "\"suppress_tokens\": this kind of decoding is not supported");
  for (const char *key : {"min_length", "min_new_tokens", "num_return_sequences", "max_time",
                          "diversity_penalty", "no_repeat_ngram_size"})
    EXPECT_EQ(refusal("{\"" + std::string(key) + "\": 7}"),
              "\"" + std::string(key) + "\": this kind of decoding is not supported");
  EXPECT_EQ(refusal(R"({"token_healing": true})"),
            "\"token_healing\": this kind of decoding is not supported");
  EXPECT_EQ(refusal(R"({"max_new_tokens": 0})"),
            "\"max_new_tokens\": expected a positive integer, got 0");
  EXPECT_EQ(refusal(R"({"max_length": "long"})"),
            "\"max_length\": expected a positive integer, got \"long\"");
  EXPECT_TRUE(parseGenerationConfig(R"({"suppress_tokens": [], "bad_words_ids": null,
      "token_healing": false, "min_length": 0, "max_length": null})",
                                    "file"));
  EXPECT_EQ(refusal("[]"), "expected a JSON object, got []");
}

TEST(GenerationConfig, ModelConfigFillsTheGaps) {
  TempDir dir;
  ModelConfig model;
  model.vocab = 10;
  model.eosIds = {5};
  model.bosId = 6;
  auto absent = readGenerationConfig(dir.path(), model);
  ASSERT_TRUE(absent.isOk()) << absent.status().message();
  EXPECT_EQ(absent->eosIds, std::vector<int64_t>{5});
  EXPECT_EQ(absent->bosId, 6);
  EXPECT_FALSE(absent->doSample);
  dir.write("generation_config.json", R"({"eos_token_id": 9, "do_sample": true})");
  auto present = readGenerationConfig(dir.path(), model);
  EXPECT_EQ(present->eosIds, std::vector<int64_t>{9});
  EXPECT_EQ(present->bosId, 6);
  EXPECT_TRUE(present->doSample);
  dir.write("generation_config.json", R"({"eos_token_id": [9, 10]})");
  EXPECT_EQ(readGenerationConfig(dir.path(), model).status().message(),
            "generation_config.json: \"eos_token_id\": 10 is outside the vocabulary of 10");
  dir.write("generation_config.json", "{}");
  model.eosIds = {12};
  EXPECT_EQ(readGenerationConfig(dir.path(), model).status().message(),
            "config.json: \"eos_token_id\": 12 is outside the vocabulary of 10");
  dir.write("generation_config.json", "{");
  EXPECT_FALSE(readGenerationConfig(dir.path(), model).isOk());
}

} // namespace
