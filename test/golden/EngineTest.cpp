//===- EngineTest.cpp - the engine's tokens equal transformers' -----------===//
//
// The twenty greedy continuations of the bundled model once more, however the engine comes by them:
// together, in chunks, from prefixes in the cache, with guesses, through pools that are too small.
// And those of a tiny model of which a pool holds the window, and neither prompt nor answer.
//
//===----------------------------------------------------------------------===//
#include "runtime/engine/Engine.h"
#include "test/golden/GoldenModel.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

using namespace sinter;
using namespace sinter::golden;

namespace {

struct Tokens : RequestListener {
  Ids ids;
  FinishReason reason = FinishReason::None;
  Usage usage;
  bool onToken(const TokenEvent &event) override {
    ids.push_back(event.token);
    return true;
  }
  void onFinish(uint32_t, FinishReason why, const Status &) override { reason = why; }
  void onDone(const Usage &all) override { usage = all; }
};

struct Case {
  const char *name;
  EngineOptions options = {};
  uint32_t pages = 600;
  uint32_t promptLookup = 0;
  uint32_t stagger = 0; ///< steps between arrivals
  uint32_t repeats = 1; ///< of every prompt: later ones find the first one's pages
};

TEST(Engine, TwentyPromptsHoweverTheyAreRun) {
  std::ifstream in(shakespeareDirectory() + "/golden/greedy_f32.json");
  const nlohmann::json golden = nlohmann::json::parse(in);
  GoldenModel model(compile(shakespeareDirectory(), "--dtype f32"), shakespeareDirectory());
  ASSERT_TRUE(model.manifest().batchInvariant);
  const std::vector<Case> cases = {
      {.name = "together"},
      {.name = "few at a time, small chunks", .options = {.maxSequences = 3, .tokensPerStep = 5}},
      {.name = "prefix hits", .stagger = 9, .repeats = 3},
      {.name = "guesses", .promptLookup = 7},
      {.name = "guesses, one sequence", .options = {.maxSequences = 1}, .promptLookup = 7},
      {.name = "recomputed", .pages = 24, .stagger = 1},
      {.name = "swapped", .options = {.swapBytes = 1 << 30, .operationsPerSecond = 1}, .pages = 24},
  };
  for (const Case &c : cases) {
    SCOPED_TRACE(c.name);
    const std::unique_ptr<Executor> executor = model.makeExecutor(c.pages);
    EngineOptions options = c.options;
    options.shufflePages = 3;
    options.poisonFreedPages = options.checkBooks = true;
    const std::unique_ptr<Engine> engine = *Engine::create(*executor, options);
    std::vector<std::shared_ptr<Tokens>> heard;
    for (uint32_t repeat = 0; repeat < c.repeats; ++repeat)
      for (const nlohmann::json &one : golden) {
        Request request;
        request.prompt = one.at("ids").get<Ids>();
        request.maxTokens = 64;
        request.sampling.temperature = 0;
        request.ignoreEos = true;
        request.promptLookup = c.promptLookup;
        ASSERT_TRUE(engine->validate(request).isOk());
        heard.push_back(std::make_shared<Tokens>());
        engine->submit(heard.size(), std::move(request), heard.back());
        for (uint32_t step = 0; step < c.stagger; ++step)
          ASSERT_TRUE(engine->step().isOk());
      }
    while (!engine->idle())
      ASSERT_TRUE(engine->step().isOk()) << engine->health().message();
    for (size_t i = 0; i < heard.size(); ++i)
      EXPECT_EQ(heard[i]->ids, golden[i % golden.size()].at("greedy").get<Ids>()) << i;
    const EngineFigures figures = engine->figures();
    EXPECT_EQ(figures.preemptions > 0, c.pages < 600) << figures.preemptions;
    EXPECT_EQ(figures.pagesUsed + figures.pagesSwapped, 0u);
    std::printf("%-28s %4llu steps, %llu preemptions, %llu of %llu prompt tokens cached\n", c.name,
                static_cast<unsigned long long>(figures.steps),
                static_cast<unsigned long long>(figures.preemptions),
                static_cast<unsigned long long>(figures.prefixHits),
                static_cast<unsigned long long>(figures.prefixLookups));
  }
}

TEST(Engine, AWindowedModelOutgrowsItsPool) {
  const std::string directory = tinyDirectory("window_all");
  const nlohmann::json golden = nlohmann::json::parse(std::ifstream(directory + "/golden.json"));
  GoldenModel model(compile(directory, "--dtype f32"), directory);
  const KvPlan &kv = model.manifest().kv;
  ASSERT_EQ(kv.window, 70u);
  const auto least = uint32_t(pagesOfWindow(kv.window, 1, kv.pageSize));
  ASSERT_EQ(least, 6u);
  for (const uint32_t pages : {least, least + 1, 3 * least})
    for (const uint64_t swapBytes : {0, 1 << 30}) {
      const std::unique_ptr<Executor> executor = model.makeExecutor(pages);
      EngineOptions options;
      options.shufflePages = pages;
      options.poisonFreedPages = options.checkBooks = true;
      options.swapBytes = swapBytes;
      options.operationsPerSecond = 1; // swapping is cheaper
      const std::unique_ptr<Engine> engine = *Engine::create(*executor, options);
      std::vector<std::shared_ptr<Tokens>> heard;
      for (uint32_t lookup : {0, 7, 0}) {
        Request request;
        request.prompt = golden.at("ids").get<Ids>();
        request.maxTokens = 16;
        request.sampling.temperature = 0;
        request.ignoreEos = true;
        request.promptLookup = lookup;
        ASSERT_TRUE(engine->validate(request).isOk());
        heard.push_back(std::make_shared<Tokens>());
        engine->submit(heard.size(), std::move(request), heard.back());
      }
      while (!engine->idle())
        ASSERT_TRUE(engine->step().isOk()) << engine->health().message();
      for (const auto &one : heard)
        EXPECT_EQ(one->ids, golden.at("greedy_f32").get<Ids>());
      EXPECT_EQ(engine->figures().pagesUsed + engine->figures().pagesSwapped, 0u);
    }
}

} // namespace
