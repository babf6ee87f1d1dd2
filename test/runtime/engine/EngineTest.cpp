//===- EngineTest.cpp -----------------------------------------------------===//
#include "test/runtime/engine/EngineSteps.h"

#include <cmath>

namespace sinter::test {
namespace {

TEST(Engine, OneRequest) {
  ToyModel model;
  const auto engine = model.engine();
  const std::vector<int32_t> prompt = makePrompt(9);
  const Ear heard = submit(*engine, 1, greedyRequest(prompt, 30));
  EXPECT_EQ(runAll(*engine), 30u);
  EXPECT_EQ(heard->tokens(), toyGreedy(prompt, 30));
  EXPECT_EQ(heard->reason(), FinishReason::Length);
  EXPECT_TRUE(heard->done);
  EXPECT_EQ(heard->usage.promptTokens, 9u);
  EXPECT_EQ(heard->usage.completionTokens, 30u);
  EXPECT_EQ(model.device.logitsSteps, 0u) << "the argmax head does";
  EXPECT_EQ(engine->figures().finished, 1u);
  EXPECT_EQ(engine->figures().generatedTokens, 30u);
  EXPECT_EQ(model.device.wrongReads, 0u);
}

TEST(Engine, ManyTogetherAreLikeEachAlone) {
  uint64_t preemptions = 0;
  for (const uint32_t budget : {4u, 7u, 64u})
    for (const uint32_t pages : {22u, 60u, 600u}) {
      ToyShape shape;
      shape.pages = pages;
      ToyModel model(shape);
      EngineOptions options;
      options.tokensPerStep = budget;
      options.shufflePages = budget;
      const auto engine = model.engine(options);
      std::vector<Ear> heard;
      std::vector<Request> requests;
      for (uint32_t i = 0; i < 12; ++i) {
        requests.push_back(greedyRequest(makePrompt(1 + i * 5, i), 3 + 2 * i));
        heard.push_back(submit(*engine, i + 1, requests.back()));
      }
      runAll(*engine);
      for (uint32_t i = 0; i < 12; ++i)
        ASSERT_EQ(heard[i]->tokens(), toyGreedy(requests[i].prompt, requests[i].maxTokens));
      EXPECT_EQ(model.device.wrongReads, 0u);
      preemptions += engine->figures().preemptions;
    }
  EXPECT_GT(preemptions, 0u) << "the test needs a pool that is too small";
}

// What a batch holds besides makes no difference to sampled tokens either.
TEST(Engine, SampledTokensAreTheRequestsOwn) {
  auto sampled = [](uint32_t i) {
    Request request = greedyRequest(makePrompt(3 + i % 9, i), 20);
    request.sampling.temperature = 0.9;
    request.sampling.seed = i;
    request.sampling.topK = 10;
    request.sampling.repetitionPenalty = i % 2 ? 1.2 : 1;
    request.sampling.frequencyPenalty = i % 3 ? 0.5 : 0;
    return request;
  };
  std::vector<std::vector<int32_t>> alone;
  for (uint32_t i = 0; i < 16; ++i) {
    ToyModel model;
    const auto engine = model.engine();
    const Ear heard = submit(*engine, 1, sampled(i));
    runAll(*engine);
    alone.push_back(heard->tokens());
  }
  for (const uint32_t pages : {16u, 400u})
    for (const uint32_t budget : {5u, 64u}) {
      ToyShape shape;
      shape.pages = pages;
      ToyModel model(shape);
      EngineOptions options;
      options.tokensPerStep = budget;
      options.maxSequences = 16;
      const auto engine = model.engine(options);
      std::vector<Ear> heard;
      for (uint32_t i = 0; i < 16; ++i) {
        heard.push_back(submit(*engine, i + 1, sampled(i)));
        if (i % 3 == 0)
          ASSERT_TRUE(engine->step().isOk());
      }
      runAll(*engine);
      for (uint32_t i = 0; i < 16; ++i)
        ASSERT_EQ(heard[i]->tokens(), alone[i]);
      EXPECT_EQ(model.device.wrongReads, 0u);
    }
}

// A large vocabulary is drawn from on several threads.
TEST(Engine, ThreadsDrawWhatOneWouldDraw) {
  ToyShape shape;
  shape.vocab = 12000;
  auto sampled = [](uint32_t i) {
    Request request = greedyRequest(makePrompt(3 + i, i), 6);
    request.sampling.temperature = i % 4 ? 1.3 : 0;
    request.sampling.seed = i;
    request.sampling.topP = i % 2 ? 0.9 : 1;
    request.samples = 1 + i % 2;
    request.promptLookup = i % 3;
    request.logprobs = 0;
    return request;
  };
  ToyModel together(shape), alone(shape);
  const auto engine = together.engine(), single = alone.engine();
  std::vector<Ear> heard;
  for (uint32_t i = 0; i < 10; ++i)
    heard.push_back(submit(*engine, i + 1, sampled(i)));
  runAll(*engine);
  EXPECT_GT(together.device.parallel, 0u);
  for (uint32_t i = 0; i < 10; ++i) {
    const Ear one = submit(*single, i + 1, sampled(i));
    runAll(*single);
    for (uint32_t sample = 0; sample < 1 + i % 2; ++sample)
      EXPECT_EQ(heard[i]->tokens(sample), one->tokens(sample));
  }
  EXPECT_EQ(alone.device.parallel, 0u);
}

TEST(Engine, StopsAtEndTokensAndStopIdsAndWhenTheListenerSays) {
  ToyModel model;
  const auto engine = model.engine();
  bool sawEos = false;
  for (uint32_t start = 0; start < 30; ++start) {
    Request request = greedyRequest(makePrompt(5, start), 20);
    const std::vector<int32_t> all = toyGreedy(request.prompt, 20);
    request.ignoreEos = false;
    const Ear plain = submit(*engine, start * 3 + 1, request);
    Request stopped = greedyRequest(request.prompt, 20);
    stopped.stopIds = {all[4]};
    const Ear ids = submit(*engine, start * 3 + 2, stopped);
    const Ear listener = std::make_shared<Heard>();
    listener->stopAfter = 6;
    engine->submit(start * 3 + 3, greedyRequest(request.prompt, 20), listener);
    runAll(*engine);
    EXPECT_EQ(plain->tokens(), toyGreedy(request.prompt, 20, false));
    const bool eos = plain->tokens().size() < 20;
    sawEos |= eos;
    EXPECT_EQ(plain->reason(), eos ? FinishReason::Eos : FinishReason::Length);
    EXPECT_EQ(ids->reason(), FinishReason::Eos);
    EXPECT_LE(ids->tokens().size(), 4u);
    EXPECT_EQ(listener->reason(), FinishReason::Stopped);
    EXPECT_EQ(listener->tokens(), std::vector<int32_t>(all.begin(), all.begin() + 6));
    EXPECT_EQ(listener->usage.completionTokens, 6u);
  }
  EXPECT_TRUE(sawEos) << "the test needs a prompt that ends";
}

TEST(Engine, PrefixesAreFoundAndSaltsKeepThemApart) {
  ToyModel model;
  const auto engine = model.engine();
  const std::vector<int32_t> prompt = makePrompt(16);
  auto run = [&](RequestId id, std::vector<int32_t> tokens, const std::string &salt) {
    Request request = greedyRequest(std::move(tokens), 5);
    request.cacheSalt = salt;
    const std::vector<int32_t> expected = toyGreedy(request.prompt, 5);
    const Ear heard = submit(*engine, id, request);
    runAll(*engine);
    EXPECT_EQ(heard->tokens(), expected);
    return heard->usage.cachedTokens;
  };
  EXPECT_EQ(run(1, prompt, ""), 0u);
  EXPECT_EQ(run(2, prompt, ""), 15u) << "one token is left to compute";
  EXPECT_EQ(run(3, prompt, "a"), 0u);
  EXPECT_EQ(run(4, prompt, "a"), 15u);
  std::vector<int32_t> longer = prompt;
  longer.insert(longer.end(), {1, 2, 3});
  EXPECT_EQ(run(5, longer, ""), 16u);
  std::vector<int32_t> other = prompt;
  other[9] = 36;
  EXPECT_EQ(run(6, other, ""), 8u);
  std::vector<int32_t> dialogue = prompt; // with the answer of before
  for (const int32_t token : toyGreedy(prompt, 5))
    dialogue.push_back(token);
  EXPECT_EQ(run(7, dialogue, ""), 20u);
  EXPECT_EQ(engine->figures().prefixHits, 15u + 15 + 16 + 8 + 20);

  EngineOptions options;
  options.prefixCache = false;
  ToyModel second;
  const auto without = second.engine(options);
  for (RequestId id : {1, 2}) {
    const Ear heard = submit(*without, id, greedyRequest(prompt, 5));
    runAll(*without);
    EXPECT_EQ(heard->usage.cachedTokens, 0u);
  }
}

TEST(Engine, SamplesShareThePromptsPages) {
  ToyShape shape;
  shape.pages = 200;
  shape.maxTokens = 256;
  ToyModel model(shape);
  const auto engine = model.engine();
  Request request = greedyRequest(makePrompt(103), 12);
  request.samples = 8;
  request.sampling.temperature = 1;
  request.sampling.seed = 40;
  const Ear heard = submit(*engine, 1, request);
  uint64_t most = 0;
  while (!engine->idle()) {
    ASSERT_TRUE(engine->step().isOk());
    most = std::max(most, engine->figures().pagesUsed);
  }
  EXPECT_LE(most, 25u + 8 * 4u) << "25 full pages of the prompt and a tail of 3 to 14 tokens each";
  EXPECT_EQ(heard->finishes, 8);
  EXPECT_EQ(heard->usage.completionTokens, 96u);
  for (uint32_t i = 0; i < 8; ++i) {
    Request alone = copyOf(request);
    alone.samples = 1;
    alone.sampling.seed = 40 + i;
    ToyModel other(shape);
    const auto reference = other.engine();
    const Ear one = submit(*reference, 1, alone);
    runAll(*reference);
    EXPECT_EQ(heard->tokens(i), one->tokens()) << i;
  }
  EXPECT_EQ(model.device.wrongReads, 0u);
}

TEST(Engine, SwapAndRecomputeGiveTheSame) {
  for (const bool swap : {false, true}) {
    ToyShape shape;
    shape.pages = 20;
    ToyModel model(shape);
    EngineOptions options;
    options.swapBytes = swap ? 1 << 20 : 0;
    options.operationsPerSecond = 1; // recomputing takes for ever
    options.prefixCache = false;
    const auto engine = model.engine(options);
    std::vector<Ear> heard;
    for (uint32_t i = 0; i < 6; ++i)
      heard.push_back(submit(*engine, i + 1, greedyRequest(makePrompt(10, i), 30)));
    runAll(*engine);
    for (uint32_t i = 0; i < 6; ++i)
      EXPECT_EQ(heard[i]->tokens(), toyGreedy(makePrompt(10, i), 30));
    EXPECT_GT(engine->figures().preemptions, 0u);
    EXPECT_EQ(model.device.downloads > 0, swap);
    EXPECT_EQ(model.device.uploads > 0, swap);
    EXPECT_EQ(model.device.wrongReads, 0u);
  }
}

TEST(Engine, TheCheaperWayBackIsTaken) {
  ToyModel model;
  EngineOptions options;
  options.swapBytesPerSecond = 1e6;  // a page of 32 bytes out and in: 64 us
  options.operationsPerSecond = 1e8; // a token of 1000 operations: 10 us
  const auto engine = model.engine(options);
  EXPECT_FALSE(engine->residency().prefersSwap(2, 7)) << "128 us against 70";
  EXPECT_TRUE(engine->residency().prefersSwap(2, 13)) << "128 us against 130";
}

TEST(Engine, CancelsAnywhere) {
  for (uint32_t after = 0; after < 12; ++after) {
    ToyModel model;
    EngineOptions options;
    options.tokensPerStep = 8;
    options.maxSequences = 2;
    const auto engine = model.engine(options);
    Request request = greedyRequest(makePrompt(20), 10);
    request.samples = 2;
    const Ear cancelled = submit(*engine, 1, request), other = submit(*engine, 2, request);
    for (uint32_t i = 0; i < after; ++i)
      ASSERT_TRUE(engine->step().isOk());
    engine->cancel(1);
    engine->cancel(1);
    engine->cancel(99);
    EXPECT_TRUE(cancelled->done);
    EXPECT_EQ(cancelled->finishes, 2);
    EXPECT_EQ(cancelled->reason(1), FinishReason::Cancelled);
    EXPECT_TRUE(engine->checkIntegrity().isOk());
    runAll(*engine);
    EXPECT_EQ(other->tokens(), toyGreedy(request.prompt, 10));
    EXPECT_EQ(other->tokens(1), other->tokens());
    EXPECT_EQ(engine->figures().cancelled, 1u);
  }
}

TEST(Engine, NotFiniteLogitsFailOneRequest) {
  for (const double temperature : {0.0, 0.7}) {
    ToyModel model;
    model.device.nanToken = 39;
    const auto engine = model.engine();
    Request bad = greedyRequest({1, 39, 2}, 5);
    bad.sampling.temperature = temperature;
    bad.samples = 2;
    const Ear failed = submit(*engine, 1, bad), good = submit(*engine, 2, greedyRequest({1, 2}, 5));
    runAll(*engine);
    for (uint32_t sample : {0u, 1u}) {
      EXPECT_EQ(failed->reason(sample), FinishReason::Failed);
      EXPECT_EQ(failed->samples[sample].status.message().rfind(
                    "the logits for position 3 are not finite", 0),
                0u);
    }
    EXPECT_EQ(good->tokens(), toyGreedy({1, 2}, 5));
    EXPECT_TRUE(engine->health().isOk());
    EXPECT_EQ(engine->figures().failed, 1u);
  }
}

TEST(Engine, ADeadDeviceFailsEverything) {
  ToyModel model;
  EngineOptions options;
  options.maxSequences = 2;
  const auto engine = model.engine(options);
  std::vector<Ear> heard;
  for (uint32_t i = 0; i < 4; ++i)
    heard.push_back(submit(*engine, i + 1, greedyRequest(makePrompt(5, i), 10)));
  model.device.failIn = 3;
  Status status;
  while (status)
    status = engine->step();
  EXPECT_EQ(status.message(), "the toy broke");
  EXPECT_EQ(engine->health().code(), StatusCode::Unavailable);
  for (const Ear &ear : heard) {
    EXPECT_TRUE(ear->done);
    EXPECT_EQ(ear->reason(), FinishReason::Failed);
    EXPECT_EQ(ear->samples[0].status.message(), "the toy broke");
  }
  EXPECT_TRUE(engine->idle());
  EXPECT_EQ(engine->allocator().ownedPages(), 0u);
  const Ear late = submit(*engine, 9, greedyRequest({1}, 1));
  EXPECT_EQ(late->reason(), FinishReason::Failed);
}

TEST(Engine, RefusesWhatCanNeverRun) {
  ToyShape shape;
  shape.pages = 8;
  ToyModel model(shape);
  const auto engine = model.engine();
  auto errorOf = [&](auto change) {
    Request request = greedyRequest({1, 2}, 3);
    change(request);
    return engine->validate(request).message();
  };
  EXPECT_EQ(errorOf([](Request &) {}), "");
  EXPECT_EQ(errorOf([](Request &r) { r.prompt.clear(); }),
            "the prompt is empty: at least one token is needed");
  EXPECT_EQ(errorOf([](Request &r) { r.prompt[1] = 40; }),
            "token id 40 is outside the vocabulary of 40");
  EXPECT_EQ(errorOf([](Request &r) { r.maxTokens = 0; }), "max tokens: expected at least 1");
  EXPECT_EQ(errorOf([](Request &r) { r.maxTokens = 31; }),
            "a prompt of 2 and 31 new tokens are more than the 32 that there is room for");
  EXPECT_EQ(errorOf([](Request &r) { r.samples = 0; }), "samples: expected 1 to 128");
  EXPECT_EQ(errorOf([](Request &r) { r.logprobs = 41; }), "logprobs: expected -1 (none) to 40");
  EXPECT_EQ(errorOf([](Request &r) { r.promptLookup = 8; }),
            "prompt lookup: expected 0 (off) to 7");
  EXPECT_EQ(errorOf([](Request &r) { r.sampling.logitBias = {{40, 1.f}}; }),
            "logit-bias: token id 40 is outside the vocabulary of 40");
  EXPECT_EQ(errorOf([](Request &r) { r.sampling.topP = 0; }),
            "top-p: expected more than 0 and at most 1");
}

TEST(Engine, LogprobsAreThoseOfTheModel) {
  ToyModel model;
  const auto engine = model.engine();
  Request request = greedyRequest(makePrompt(6), 5);
  request.logprobs = 3;
  request.sampling.temperature = 0.5;
  request.sampling.logitBias = {{7, 50.f}};
  const Ear heard = submit(*engine, 1, request);
  runAll(*engine);
  std::vector<int32_t> tokens = request.prompt;
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(heard->tokens()[i], 7) << "the bias decides";
    const std::vector<float> logits = toyLogits(tokens);
    double sum = 0;
    for (const float x : logits)
      sum += std::exp(double(x));
    EXPECT_NEAR(heard->samples[0].logprobs[i], logits[7] - std::log(sum), 1e-5);
    ASSERT_EQ(heard->samples[0].likely[i].size(), 3u);
    EXPECT_EQ(heard->samples[0].likely[i][0].token, toyNext(tokens));
    tokens.push_back(7);
  }
}

/// Even tokens first, then odd ones, in turns.
struct Alternate : TokenConstraint {
  uint32_t parity = 0;
  Status allowed(std::span<uint32_t> mask) override {
    for (uint32_t &word : mask)
      word = parity ? 0xaaaaaaaau : 0x55555555u;
    return Status::ok();
  }
  void accept(int32_t) override { parity ^= 1; }
  std::unique_ptr<TokenConstraint> clone() const override {
    return std::make_unique<Alternate>(*this);
  }
};

TEST(Engine, ConstraintsHoldForEverySampleAndEveryGuess) {
  for (const uint32_t lookup : {0u, 7u})
    for (const double temperature : {0.0, 1.0}) {
      ToyModel model;
      const auto engine = model.engine();
      Request request = greedyRequest({1, 2, 3, 4, 1, 2, 3, 4}, 24);
      request.samples = 3;
      request.sampling.temperature = temperature;
      request.constraint = std::make_unique<Alternate>();
      request.promptLookup = lookup;
      auto heard = std::make_shared<Heard>();
      engine->submit(1, std::move(request), heard);
      runAll(*engine);
      for (uint32_t sample = 0; sample < 3; ++sample)
        for (size_t i = 0; i < 24; ++i)
          ASSERT_EQ(uint32_t(heard->tokens(sample)[i]) % 2, i % 2);
    }
}

// Entry points that take few rows beside a chunk: decodes and chunks take turns.
TEST(Engine, ChunksGetTheirTurnWhereNoEntryTakesBoth) {
  ToyShape shape;
  shape.mixedRows = 2;
  shape.pages = 400;
  ToyModel model(shape);
  const auto engine = model.engine();
  std::vector<Ear> heard;
  for (uint32_t i = 0; i < 10; ++i)
    heard.push_back(submit(*engine, i + 1, greedyRequest(makePrompt(9 + i, i), 60)));
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(engine->step().isOk());
  const Ear late = submit(*engine, 99, greedyRequest(makePrompt(100, 99), 2));
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(engine->step().isOk());
  EXPECT_TRUE(late->done) << "a chunk every other step";
  EXPECT_FALSE(heard[0]->done);
  runAll(*engine);
  for (uint32_t i = 0; i < 10; ++i)
    EXPECT_EQ(heard[i]->tokens(), toyGreedy(makePrompt(9 + i, i), 60));
  EXPECT_EQ(late->tokens(), toyGreedy(makePrompt(100, 99), 2));
}

// Guesses change how many steps it takes and nothing else.
TEST(Engine, GuessesDoNotChangeTokens) {
  uint64_t plainSteps = 0, guessedSteps = 0;
  for (const double temperature : {0.0, 0.8})
    for (const uint32_t pages : {24u, 300u})
      for (uint32_t seed = 0; seed < 12; ++seed) {
        auto run = [&](uint32_t lookup, uint64_t &steps) {
          ToyShape shape;
          shape.pages = pages;
          shape.vocab = 3; // few tokens: pairs recur and guesses are right now and then
          ToyModel model(shape);

          EngineOptions options;
          options.shufflePages = seed;
          const auto engine = model.engine(options);
          std::vector<Ear> heard;
          for (uint32_t i = 0; i < 3; ++i) {
            Request request = greedyRequest({}, 40);
            for (const int32_t token : makePrompt(5 + seed, i))
              request.prompt.push_back(token % 3);
            request.samples = 1 + i;
            request.promptLookup = lookup;
            request.sampling.temperature = temperature;
            request.sampling.seed = seed;
            heard.push_back(submit(*engine, i + 1, request));
          }
          steps += runAll(*engine);
          EXPECT_EQ(model.device.wrongReads, 0u);
          std::vector<std::vector<int32_t>> tokens;
          for (const Ear &ear : heard)
            for (const auto &[index, sample] : ear->samples) {
              tokens.push_back(sample.tokens);
              EXPECT_EQ(sample.reason, FinishReason::Length);
            }
          return tokens;
        };
        const auto plain = run(0, plainSteps);
        for (const uint32_t lookup : {1u, 4u, 7u})
          ASSERT_EQ(run(lookup, guessedSteps), plain);
      }
  EXPECT_LT(double(guessedSteps) / 3, 0.9 * double(plainSteps)) << "guesses were never right";
}

} // namespace
} // namespace sinter::test
