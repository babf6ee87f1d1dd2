//===- PromptShareTest.cpp - prompts in steps in which others decode ------===//
#include "test/runtime/engine/EngineSteps.h"

namespace sinter::test {
namespace {

ToyShape roomy() {
  ToyShape shape;
  shape.pages = 400;
  return shape;
}

/// Leaves the tokens of every step in `tokens`.
EngineOptions recording(std::vector<uint32_t> &tokens) {
  EngineOptions options;
  options.onStep = [&tokens](const EngineStep &step) { tokens.push_back(step.tokens); };
  return options;
}

// Who decodes waits for at most so many tokens of prompts, unless a long queue of them does.
TEST(PromptShare, PromptsBesideAnswersTakeTheirShare) {
  ToyModel model(roomy());
  std::vector<uint32_t> tokens;
  EngineOptions options = recording(tokens);
  options.tokensPerStep = 40;
  options.promptTokensPerStep = 10;
  const auto engine = model.engine(options);
  const Request long1 = greedyRequest(makePrompt(35), 40);
  const Request long2 = greedyRequest(makePrompt(45, 9), 2);
  const Ear first = submit(*engine, 1, long1);
  ASSERT_TRUE(engine->step().isOk());
  EXPECT_EQ(tokens.back(), 35u) << "nobody decodes";
  const Ear second = submit(*engine, 2, long2);
  tokens.clear();
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(engine->step().isOk());
  EXPECT_EQ(tokens, (std::vector<uint32_t>{11, 11, 11, 11, 6}));

  std::vector<Ear> queue;
  for (uint32_t i = 0; i < 5; ++i)
    queue.push_back(submit(*engine, 10 + i, greedyRequest(makePrompt(33, 20 + i), 2)));
  tokens.clear();
  ASSERT_TRUE(engine->step().isOk());
  EXPECT_EQ(tokens.back(), 40u) << "165 tokens wait: more than four steps";
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(engine->step().isOk());
  EXPECT_LE(tokens.back(), 2u + 10u) << "the queue has become short";
  runAll(*engine);
  EXPECT_EQ(first->tokens(), toyGreedy(long1.prompt, 40));
  EXPECT_EQ(second->tokens(), toyGreedy(long2.prompt, 2));
  EXPECT_EQ(model.device.wrongReads, 0u);
}

// Guesses are no prompts.
TEST(PromptShare, GuessesAreNotLimitedWithPrompts) {
  ToyModel model;
  uint32_t most = 0;
  EngineOptions options;
  options.tokensPerStep = 40;
  options.promptTokensPerStep = 1;
  options.onStep = [&](const EngineStep &step) {
    if (step.sequences == 3)
      most = std::max(most, step.tokens);
  };
  const auto engine = model.engine(options);
  Request request = greedyRequest({1, 2, 3, 1, 2, 3, 1, 2, 3, 1}, 30);
  request.promptLookup = 7;
  std::vector<Ear> heard;
  for (uint32_t i = 0; i < 3; ++i)
    heard.push_back(submit(*engine, i + 1, request));
  runAll(*engine);
  EXPECT_GT(most, 3u + 1u + 7u);
  for (const Ear &each : heard)
    EXPECT_EQ(each->tokens(), toyGreedy(request.prompt, 30));
}

// And leave the prompts their share.
TEST(PromptShare, GuessesLeavePromptsTheirShare) {
  ToyShape shape = roomy();
  shape.vocab = 5; // little that has not been said before
  ToyModel model(shape);
  EngineOptions options;
  options.tokensPerStep = 24;
  options.promptTokensPerStep = 10;
  const auto engine = model.engine(options);
  Request request = greedyRequest({1, 2, 3, 1, 2, 3, 1, 2, 3, 1}, 200);
  request.promptLookup = 7;
  for (uint32_t i = 0; i < 5; ++i)
    submit(*engine, i + 1, request);
  for (int i = 0; i < 40; ++i)
    ASSERT_TRUE(engine->step().isOk());
  const uint64_t guessed = engine->figures().guessedTokens;
  const Ear late = submit(*engine, 9, greedyRequest(std::vector<int32_t>(40, 4), 2));
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(engine->step().isOk());
  EXPECT_GT(engine->figures().guessedTokens, guessed);
  EXPECT_EQ(late->tokens().size(), 1u) << "40 tokens, 10 a step";
  runAll(*engine);
}

// One long prompt is no queue, and a budget that somebody chose is kept.
TEST(PromptShare, OneLongPromptKeepsItsShare) {
  for (const bool chosen : {false, true}) {
    ToyModel model(roomy());
    std::vector<uint32_t> tokens;
    EngineOptions options = recording(tokens);
    options.tokensPerStep = 30;
    options.promptTokensPerStep = chosen ? 0 : 10;
    const auto engine = model.engine(options);
    const Ear first = submit(*engine, 1, greedyRequest(makePrompt(3), 20));
    ASSERT_TRUE(engine->step().isOk());
    const Ear second = submit(*engine, 2, greedyRequest(makePrompt(200), 2));
    ASSERT_TRUE(engine->step().isOk());
    EXPECT_EQ(tokens.back(), chosen ? 30u : 11u);
    runAll(*engine);
  }
}

// Where nobody waits for a next token, steps are longer.
TEST(PromptShare, StepsWithoutAnswersAreLonger) {
  ToyModel model(roomy());
  std::vector<uint32_t> tokens;
  EngineOptions options = recording(tokens);
  options.tokensPerStep = 60;
  options.busyTokensPerStep = 20;
  options.promptTokensPerStep = 10;
  const auto engine = model.engine(options);
  const Request request = greedyRequest(makePrompt(100), 30);
  const Ear first = submit(*engine, 1, request);
  ASSERT_TRUE(engine->step().isOk());
  ASSERT_TRUE(engine->step().isOk());
  EXPECT_EQ(tokens, (std::vector<uint32_t>{60, 40}));
  std::vector<Ear> queue;
  for (uint32_t i = 0; i < 6; ++i)
    queue.push_back(submit(*engine, 10 + i, greedyRequest(makePrompt(33, 20 + i), 2)));
  ASSERT_TRUE(engine->step().isOk());
  EXPECT_EQ(tokens.back(), 20u) << "a long queue takes all of a busy step, and no more";
  runAll(*engine);
  EXPECT_EQ(first->tokens(), toyGreedy(request.prompt, 30));
}

TEST(PromptShare, TheShareGoesByTheModelsOperations) {
  for (const auto &[rate, share] : {std::pair(1e6, 256u), std::pair(10e6, 384u)}) {
    ToyShape shape = roomy();
    shape.positions = 2048;
    shape.maxTokens = 1024;
    ToyModel model(shape);
    std::vector<uint32_t> tokens;
    EngineOptions options = recording(tokens);
    options.operationsPerSecond = rate; // of 1000 operations a token
    const auto engine = model.engine(options);
    submit(*engine, 1, greedyRequest(makePrompt(3), 20));
    ASSERT_TRUE(engine->step().isOk());
    submit(*engine, 2, greedyRequest(makePrompt(900), 2));
    ASSERT_TRUE(engine->step().isOk());
    EXPECT_EQ(tokens.back(), 1 + share);
    runAll(*engine);
  }
}

} // namespace
} // namespace sinter::test
