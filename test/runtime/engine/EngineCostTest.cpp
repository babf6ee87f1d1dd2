//===- EngineCostTest.cpp - what a step costs the host --------------------===//
#include "test/runtime/engine/ToyModel.h"

#include <algorithm>
#include <gtest/gtest.h>

#ifndef __has_feature // clang's
#define __has_feature(x) 0
#endif

namespace sinter::test {
namespace {

struct Silent : RequestListener {
  bool onToken(const TokenEvent &) override { return true; }
  void onFinish(uint32_t, FinishReason, const Status &) override {}
  void onDone(const Usage &) override {}
};

/// Median of the host's share of steps that decode `sequences` of about `context` tokens.
double hostMicroseconds(uint32_t sequences, uint32_t context) {
  constexpr uint32_t kSteps = 200;
  ToyShape shape;
  shape.pageSize = 16;
  shape.positions = 8192;
  shape.maxTokens = shape.mixedRows = 2048;
  shape.pages = sequences * (context + kSteps + 64) / 16;
  ToyModel model(shape);
  model.device.reads = false;
  std::vector<double> host;
  EngineOptions options;
  options.tokensPerStep = 2048;
  options.maxSequences = sequences;
  options.onStep = [&](const EngineStep &step) {
    if (step.sequences == sequences && step.tokens == sequences)
      host.push_back((step.seconds - step.deviceSeconds) * 1e6);
  };
  const auto engine = *Engine::create(*model.executor, options);
  const auto listener = std::make_shared<Silent>();
  for (uint32_t i = 0; i < sequences; ++i)
    engine->submit(i + 1, greedyRequest(makePrompt(context, i), kSteps), listener);
  while (!engine->idle())
    EXPECT_TRUE(engine->step().isOk());
  EXPECT_GT(host.size(), 50u);
  std::nth_element(host.begin(), host.begin() + ptrdiff_t(host.size() / 2), host.end());
  return host[host.size() / 2];
}

TEST(EngineCost, AStepOf256SequencesTakesTheHostUnder100Microseconds) {
  const double few = hostMicroseconds(32, 512), many = hostMicroseconds(256, 512),
               longer = hostMicroseconds(256, 2048);
  std::printf("host time of a decode step: %.1f us for 32 sequences, %.1f us for 256, "
              "%.1f us for 256 of 2048 tokens\n",
              few, many, longer);
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) &&      \
    !__has_feature(thread_sanitizer)
  EXPECT_LT(many, 100);
  EXPECT_LT(many, 16 * few) << "more than proportional";
#endif
}

} // namespace
} // namespace sinter::test
