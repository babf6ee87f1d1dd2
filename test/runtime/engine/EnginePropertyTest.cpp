//===- EnginePropertyTest.cpp ---------------------------------------------===//
//
// Random requests at random times with random priorities, cancelled at random, in pools that are
// too small: every request ends, nobody starves, and every token is what the request alone would
// get. The books are checked after every step and freed pages are poisoned (ToyModel::engine).
//
//===----------------------------------------------------------------------===//
#include "test/runtime/engine/ToyModel.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace sinter::test {
namespace {

struct Sent {
  Request request;
  std::shared_ptr<Heard> heard = std::make_shared<Heard>();
  bool cancelled = false;
};

Request randomRequest(std::mt19937_64 &random) {
  // Few distinct prompts, so that prefixes are found.
  Request request = greedyRequest(makePrompt(1 + random() % 40, uint32_t(random() % 3)),
                                  uint32_t(1 + random() % 24));
  request.samples = random() % 4 ? 1 : uint32_t(1 + random() % 3);
  request.priority = int32_t(random() % 5) - 2;
  request.promptLookup = random() % 2 ? 0 : uint32_t(random() % 8);
  request.ignoreEos = random() % 2;
  request.cacheSalt = random() % 4 ? "" : "salt";
  if (random() % 8 == 0)
    request.stopIds = {int32_t(random() % 40)};
  return request;
}

/// Without pages, batches and guesses.
std::vector<int32_t> expectedTokens(const Request &request, uint32_t window) {
  std::vector<int32_t> tokens =
      toyGreedy(request.prompt, request.maxTokens, request.ignoreEos, window);
  if (!request.stopIds.empty())
    tokens.erase(std::find(tokens.begin(), tokens.end(), request.stopIds[0]), tokens.end());
  return tokens;
}

/// 200 workloads on models of these windows in turn.
void randomWorkloads(const std::vector<uint32_t> &windows) {
  EngineFigures sums;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    ToyShape shape;
    shape.pages = uint32_t(16 + random() % 50);
    shape.window = windows[seed % windows.size()];
    if (shape.window) // requests are longer than some of these pools
      shape.pages = uint32_t(pagesOfWindow(shape.window, 1, shape.pageSize) + random() % 16);
    shape.mixedRows = random() % 2 ? 64 : uint32_t(1 + random() % 8);
    ToyModel model(shape);
    EngineOptions options;
    options.maxSequences = uint32_t(1 + random() % 24);
    options.tokensPerStep = uint32_t(4 + random() % 60);
    options.promptTokensPerStep = uint32_t(random() % 2 ? 0 : 1 + random() % 20);
    options.agingSteps = uint32_t(random() % 64);
    options.swapBytes = random() % 2 ? 0 : 32 * (random() % 40);
    options.operationsPerSecond = random() % 2 ? 1e3 : 1e9;
    options.prefixCache = random() % 4 > 0;
    options.shufflePages = seed;
    const auto engine = model.engine(options);
    std::vector<Sent> sent;
    for (int step = 0; step < 400 || !engine->idle(); ++step) {
      ASSERT_LT(step, 20000) << "does not end, seed " << seed;
      for (uint64_t i = random() % 3; step < 400 && i > 0 && sent.size() < 120; --i) {
        sent.push_back({randomRequest(random)});
        ASSERT_TRUE(engine->validate(sent.back().request).isOk());
        if (random() % 10 == 0)
          sent.back().heard->stopAfter = 1 + random() % 5;
        engine->submit(sent.size(), copyOf(sent.back().request), sent.back().heard);
      }
      if (random() % 12 == 0 && !sent.empty()) {
        const size_t which = random() % sent.size();
        sent[which].cancelled |= !sent[which].heard->done;
        engine->cancel(which + 1);
        ASSERT_TRUE(sent[which].heard->done);
      }
      const Status status = engine->step();
      ASSERT_TRUE(status.isOk()) << status.message() << ", seed " << seed;
    }
    for (size_t i = 0; i < sent.size(); ++i) {
      const Sent &one = sent[i];
      ASSERT_TRUE(one.heard->done);
      ASSERT_EQ(one.heard->finishes, int(one.request.samples));
      const std::vector<int32_t> whole = expectedTokens(one.request, shape.window);
      for (uint32_t sample = 0; sample < one.request.samples; ++sample) {
        const std::vector<int32_t> &tokens = one.heard->tokens(sample);
        std::vector<int32_t> expected = whole;
        if (one.cancelled || one.heard->stopAfter < expected.size()) // samples end where they are
          expected.resize(std::min(expected.size(), tokens.size()));
        ASSERT_EQ(tokens, expected) << "seed " << seed << ", request " << i;
      }
    }
    ASSERT_EQ(model.device.wrongReads, 0u);
    ASSERT_EQ(engine->allocator().ownedPages(), 0u);
    ASSERT_EQ(engine->residency().swappedPages(), 0u);
    sums.preemptions += engine->figures().preemptions;
    sums.prefixHits += engine->figures().prefixHits;
    sums.cancelled += engine->figures().cancelled;
    sums.pagesSwapped += model.device.uploads;
  }
  EXPECT_GT(sums.preemptions, 1000u);
  EXPECT_GT(sums.prefixHits, 1000u);
  EXPECT_GT(sums.cancelled, 100u);
  EXPECT_GT(sums.pagesSwapped, 100u);
}

TEST(EngineProperty, RandomWorkloads) { randomWorkloads({0}); }
TEST(EngineProperty, RandomWorkloadsWithWindows) { randomWorkloads({1, 3, 4, 9, 21}); }

/// Steps until a request of the lowest priority has ended, among an endless stream of others.
uint64_t stepsUnderLoad(uint32_t agingSteps, uint64_t seed) {
  std::mt19937_64 random(seed);
  ToyShape shape;
  shape.pages = 24;
  ToyModel model(shape);
  EngineOptions options;
  options.maxSequences = 4;
  options.agingSteps = agingSteps;
  const auto engine = model.engine(options);
  const auto low = std::make_shared<Heard>();
  RequestId id = 1;
  Request request = greedyRequest(makePrompt(20), 20);
  request.priority = -3;
  engine->submit(id++, copyOf(request), low);
  request.priority = 3;
  uint64_t steps = 0;
  for (; !low->done && steps < 20000; ++steps) {
    if (engine->figures().queued < 8) {
      request.prompt = makePrompt(10 + random() % 30, uint32_t(random() % 50));
      engine->submit(id++, copyOf(request), std::make_shared<Heard>());
    }
    EXPECT_TRUE(engine->step().isOk());
  }
  return steps;
}

TEST(EngineProperty, NobodyStarves) {
  for (const uint32_t aging : {0u, 10u, 100u})
    for (uint64_t seed = 0; seed < 5; ++seed) {
      // It arrives first in a rank of its own 6 levels behind; who comes later than that waits, and
      // the at most 12 in front of it by then need at most 45 steps each, one after the other.
      EXPECT_LE(stepsUnderLoad(aging, seed), 6 * aging + 13 * 45) << aging;
    }
}

// The check above would notice a scheduler without aging.
TEST(EngineProperty, WithoutAgingItWouldStarve) { EXPECT_EQ(stepsUnderLoad(1000000, 1), 20000u); }

TEST(EngineProperty, HigherPrioritiesGoFirst) {
  ToyModel model;
  EngineOptions options;
  options.maxSequences = 2;
  const auto engine = model.engine(options);
  std::vector<std::shared_ptr<Heard>> heard;
  for (int32_t priority : {0, 0, 0, 5}) {
    Request request = greedyRequest(makePrompt(8, uint32_t(heard.size())), 10);
    request.priority = priority;
    heard.push_back(std::make_shared<Heard>());
    if (priority == 5) // the first two run already
      ASSERT_TRUE(engine->step().isOk());
    engine->submit(heard.size(), std::move(request), heard.back());
  }
  while (!heard[3]->done)
    ASSERT_TRUE(engine->step().isOk());
  EXPECT_EQ(engine->figures().preemptions, 1u);
  EXPECT_TRUE(heard[0]->done || heard[0]->tokens().size() >= 9) << "the oldest went on";
  EXPECT_FALSE(heard[2]->done);
  while (!engine->idle())
    ASSERT_TRUE(engine->step().isOk());
  EXPECT_EQ(heard[1]->tokens(), toyGreedy(makePrompt(8, 1), 10));
}

} // namespace
} // namespace sinter::test
