//===- EngineHeadsTest.cpp - tokens drawn by the device or by the host ----===//
//
// The same requests through artefacts with and without the sample head.
//
//===----------------------------------------------------------------------===//
#include "EngineSteps.h"

#include <functional>
#include <random>

namespace sinter::test {
namespace {

/// Allows what the last token and the number of tokens say; fails or allows nothing when told to.
struct Picky : TokenConstraint {
  uint64_t state = 1;
  uint32_t taken = 0;
  uint32_t failsAfter = ~0u, nothingAfter = ~0u;
  Status allowed(std::span<uint32_t> mask) override {
    std::mt19937_64 random(state);
    for (uint32_t &word : mask)
      word = taken < nothingAfter ? uint32_t(random()) | 1u << state % 8 : 0;
    return taken < failsAfter ? Status::ok() : unsupported("the grammar ends here");
  }
  void accept(int32_t token) override {
    state = state * 31 + uint64_t(token);
    ++taken;
  }
  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<Picky>(*this); }
};

struct Sent {
  Request request;
  bool constrained = false;
};

Sent randomRequest(std::mt19937_64 &random) {
  Sent sent;
  Request &request = sent.request;
  request.maxTokens = 30;
  request.ignoreEos = true;
  for (uint64_t i = 1 + random() % 20; i > 0; --i)
    request.prompt.push_back(int32_t(random() % 10));
  SamplingParams &sampling = request.sampling;
  sampling.temperature = random() % 3 ? 0.8 : 0;
  sampling.topK = int64_t(1 + random() % 8);
  sampling.topP = random() % 2 ? 1 : 0.9;
  sampling.seed = random();
  sampling.repetitionPenalty = random() % 2 ? 1 : 1.3;
  sampling.presencePenalty = random() % 3 ? 0 : 0.5;
  sampling.frequencyPenalty = random() % 3 ? 0 : -0.2;
  if (random() % 3 == 0)
    sampling.logitBias = {{2, 1.f}, {7, -3.f}};
  request.promptLookup = random() % 2 ? 0 : 5;
  request.samples = random() % 4 ? 1 : 3;
  sent.constrained = random() % 3 == 0;
  return sent;
}

struct Ran {
  std::vector<std::vector<int32_t>> tokens;
  uint64_t logitsSteps = 0, preemptions = 0, acceptedGuesses = 0;
};

Ran run(const std::vector<Sent> &requests, bool draws, uint32_t pages) {
  ToyShape shape;
  shape.vocab = 10; // guesses are right now and then
  shape.pages = pages;
  shape.draws = draws;
  ToyModel model(shape);
  EngineOptions options;
  options.swapBytes = pages % 2 ? 0 : 1 << 12;
  const auto engine = model.engine(options);
  std::vector<Ear> heard;
  for (const Sent &sent : requests) {
    Request request = copyOf(sent.request);
    if (sent.constrained)
      request.constraint = std::make_unique<Picky>();
    EXPECT_TRUE(engine->validate(request).isOk());
    heard.push_back(std::make_shared<Heard>());
    engine->submit(heard.size(), std::move(request), heard.back());
  }
  runAll(*engine);
  Ran ran;
  for (const Ear &ear : heard)
    for (const auto &[index, sample] : ear->samples) {
      EXPECT_EQ(sample.reason, FinishReason::Length) << sample.status.message();
      ran.tokens.push_back(sample.tokens);
    }
  ran.logitsSteps = model.device.logitsSteps;
  ran.preemptions = engine->figures().preemptions;
  ran.acceptedGuesses = engine->figures().acceptedGuesses;
  return ran;
}

TEST(EngineHeads, TheDeviceDrawsWhatTheHostWould) {
  uint64_t preemptions = 0, acceptedGuesses = 0;
  std::mt19937_64 random(7);
  for (int i = 0; i < 60; ++i) {
    std::vector<Sent> requests;
    for (uint64_t count = 1 + random() % 8; count > 0; --count)
      requests.push_back(randomRequest(random));
    const Ran onHost = run(requests, false, 400);
    for (const uint32_t pages : {400u, 37u, 38u}) { // too small ones swap or compute again
      const Ran onDevice = run(requests, true, pages);
      ASSERT_EQ(onDevice.tokens, onHost.tokens) << "workload " << i << ", " << pages << " pages";
      preemptions += onDevice.preemptions;
      acceptedGuesses += onDevice.acceptedGuesses;
    }
  }
  EXPECT_GT(preemptions, 10u);
  EXPECT_GT(acceptedGuesses, 100u);
}

TEST(EngineHeads, LogitsComeToTheHostOnlyWhereTheyMust) {
  const auto logitsSteps = [](const std::function<void(Sent &)> &change) {
    std::vector<Sent> requests(1);
    requests[0].request = greedyRequest({1, 2, 3, 1, 2, 3}, 12);
    change(requests[0]);
    return run(requests, true, 400).logitsSteps;
  };
  EXPECT_EQ(logitsSteps([](Sent &s) { s.request.sampling.repetitionPenalty = 1.2; }), 0u);
  EXPECT_EQ(logitsSteps([](Sent &s) { s.request.sampling.presencePenalty = 1.2; }), 0u);
  EXPECT_EQ(logitsSteps([](Sent &s) { s.request.sampling.logitBias = {{3, 2.f}}; }), 0u);
  EXPECT_EQ(logitsSteps([](Sent &s) { s.constrained = true; }), 0u);
  EXPECT_EQ(logitsSteps([](Sent &s) {
              s.request.sampling.frequencyPenalty = 1.2;
              s.request.promptLookup = 4;
            }),
            0u);
  EXPECT_EQ(logitsSteps([](Sent &s) { s.request.logprobs = 0; }), 12u);
  EXPECT_GT(logitsSteps([](Sent &s) {
              s.constrained = true;
              s.request.promptLookup = 4;
            }),
            0u)
      << "nobody knows the masks behind guesses";
  EXPECT_EQ(logitsSteps([](Sent &s) {
              s.request.sampling.temperature = s.request.sampling.repetitionPenalty = 1.2;
              s.request.sampling.topK = 3;
              s.request.samples = 2;
            }),
            1u)
      << "both draw their first token from one row";
}

// One request is out of tokens; its neighbour does not notice.
TEST(EngineHeads, ErrorsAreTheSame) {
  const auto errorOf = [](bool draws, const Picky &constraint, int32_t nanToken) {
    ToyShape shape;
    shape.draws = draws;
    ToyModel model(shape);
    model.device.nanToken = nanToken;
    const auto engine = model.engine();
    Request request = greedyRequest({1, 2, 9}, 10);
    request.constraint = constraint.clone();
    const auto failed = std::make_shared<Heard>();
    engine->submit(1, std::move(request), failed);
    const Ear good = submit(*engine, 2, greedyRequest({1, 2}, 5));
    runAll(*engine);
    EXPECT_EQ(good->tokens(), toyGreedy({1, 2}, 5));
    EXPECT_EQ(failed->reason(), FinishReason::Failed);
    return failed->samples[0].status.message();
  };
  Picky fails, endless, nothing;
  fails.failsAfter = 2;
  nothing.nothingAfter = 3;
  for (const bool draws : {false, true}) {
    EXPECT_EQ(errorOf(draws, fails, -1), "the grammar ends here");
    EXPECT_EQ(errorOf(draws, nothing, -1), "no token is allowed at position 6");
    EXPECT_EQ(errorOf(draws, endless, 9).rfind("the logits for position 3 are not finite", 0), 0u);
  }
}

} // namespace
} // namespace sinter::test
