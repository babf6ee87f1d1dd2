//===- GeneratorTest.cpp --------------------------------------------------===//
//
// Runs the fake model (test/runtime/fake) through the whole engine and compares with a reference
// that knows neither pages nor batches. All comparisons are bitwise.
//
//===----------------------------------------------------------------------===//
#include "runtime/engine/Generator.h"
#include "test/runtime/engine/FakeEngine.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>

namespace sinter {
namespace {

std::vector<int32_t> makePrompt(size_t length, int start = 0) {
  std::vector<int32_t> prompt;
  for (size_t i = 0; i < length; ++i)
    prompt.push_back(int32_t((start + i * 17 + i * i) % 40));
  return prompt;
}

std::vector<int32_t> referenceGreedy(const fake::Weights &weights, std::vector<int32_t> tokens,
                                     uint32_t count, bool stopAtEos) {
  std::vector<int32_t> out;
  while (out.size() < count) {
    const std::vector<float> logits = fake::referenceLogits(weights, tokens);
    const auto last = logits.end() - fake::kVocab;
    const auto token = int32_t(std::max_element(last, logits.end()) - last);
    if (stopAtEos && (token == 12 || token == 38))
      break;
    out.push_back(token);
    tokens.push_back(token);
  }
  return out;
}

GenerationRequest greedyRequest(std::vector<int32_t> prompt, uint32_t maxTokens) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.maxTokens = maxTokens;
  request.sampling.temperature = 0;
  request.ignoreEos = true;
  return request;
}

TEST(Generator, PromptLogitsForEveryChunkingAndPageOrder) {
  for (uint32_t threads : {1u, 3u})
    for (uint64_t shuffle : {0, 1, 2}) {
      FakeEngine engine(20, {.threads = threads});
      for (uint32_t length : {1u, 2u, 4u, 31u, 32u, 33u, 63u}) {
        const std::vector<int32_t> prompt = makePrompt(length);
        const std::vector<float> expected = fake::referenceLogits(engine.installed.weights, prompt);
        for (uint32_t chunk : {1u, 3u, 4u, 7u, 32u, 512u}) {
          PageAllocator allocator = shuffle ? PageAllocator(20, shuffle) : PageAllocator(20);
          Generator generator(*engine.executor, allocator, {chunk});
          std::vector<float> logits;
          const GenerationRequest request = greedyRequest(prompt, 0);
          const auto result =
              generator.run({&request, 1}, {}, [&](const float *rows, size_t count) {
                logits.insert(logits.end(), rows, rows + count * fake::kVocab);
                return Status::ok();
              });
          ASSERT_TRUE(result.isOk()) << result.status().message();
          ASSERT_EQ(logits, expected) << length << " tokens in chunks of " << chunk;
          ASSERT_EQ(allocator.freePages(), 20u);
        }
      }
    }
}

TEST(Generator, GreedyThroughArgmaxAndLogitsEntries) {
  FakeEngine engine(16);
  const std::vector<int32_t> prompt = makePrompt(9);
  const std::vector<int32_t> expected =
      referenceGreedy(engine.installed.weights, prompt, 40, false);
  PageAllocator allocator(16, 3);
  Generator generator(*engine.executor, allocator, {});
  GenerationRequest request = greedyRequest(prompt, 40);
  std::vector<int32_t> streamed;
  auto result = generator.run({&request, 1}, [&](size_t, int32_t token) {
    streamed.push_back(token);
    return true;
  });
  ASSERT_TRUE(result.isOk()) << result.status().message();
  EXPECT_EQ((*result)[0].tokens, expected);
  EXPECT_EQ((*result)[0].finish, FinishReason::Length);
  EXPECT_EQ(streamed, expected);
  EXPECT_EQ(generator.steps().size(), 40u);

  request.sampling = {};
  request.sampling.topK = 1; // top-k 1 samples from the logits head
  result = generator.run({&request, 1}, {});
  EXPECT_EQ((*result)[0].tokens, expected);
}

TEST(Generator, ABatchGivesWhatEachGivesAlone) {
  FakeEngine engine(60);
  PageAllocator allocator(60, 5);
  Generator generator(*engine.executor, allocator, {6});
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 6; ++i)
    requests.push_back(greedyRequest(makePrompt(size_t(1 + i * 5), i), uint32_t(3 + 5 * i)));
  const auto together = generator.run(requests, {});
  ASSERT_TRUE(together.isOk()) << together.status().message();
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ((*together)[i].tokens, referenceGreedy(engine.installed.weights, requests[i].prompt,
                                                     requests[i].maxTokens, false));
  EXPECT_EQ(allocator.freePages(), 60u);
  EXPECT_TRUE(allocator.checkIntegrity().isOk());
}

// Any mix of decodes, prefill chunks and forks with shared pages in one step.
TEST(Executor, MixedStepsOverSharedPages) {
  FakeEngine engine(40);
  PageAllocator allocator(40, 9);
  std::vector<Sequence> sequences;
  sequences.emplace_back(allocator, fake::kPageSize);
  sequences[0].append(makePrompt(14));
  StepOutput output;
  ASSERT_TRUE(sequences[0].reserve(11).isOk());
  const WorkItem first = {&sequences[0], 11, Rows::None};
  ASSERT_TRUE(engine.executor->step({&first, 1}, HeadKind::Logits, output).isOk());
  for (int32_t token : {5, 6}) {
    sequences.push_back(sequences[0].fork());
    sequences.back().append(token);
  }
  ASSERT_EQ(sequences[1].cached(), 8u);
  ASSERT_EQ(allocator.references(sequences[0].pages()[1]), 3u);
  while (sequences[2].waiting() > 0) {
    std::vector<WorkItem> items;
    for (size_t i = 0; i < sequences.size(); ++i)
      if (const uint32_t count = std::min<uint32_t>(sequences[i].waiting(), uint32_t(1 + i))) {
        ASSERT_TRUE(sequences[i].reserve(count).isOk());
        items.push_back({&sequences[i], count, Rows::All});
      }
    ASSERT_TRUE(engine.executor->step(items, HeadKind::Logits, output).isOk());
    size_t row = 0;
    for (const WorkItem &item : items) {
      const Sequence &sequence = *item.sequence;
      const std::vector<float> expected =
          fake::referenceLogits(engine.installed.weights, sequence.tokens());
      for (uint32_t p = sequence.cached() - item.tokens; p < sequence.cached(); ++p, ++row)
        for (int v = 0; v < fake::kVocab; ++v)
          ASSERT_EQ(output.logits[row * fake::kVocab + size_t(v)],
                    expected[p * fake::kVocab + size_t(v)]);
    }
  }
  EXPECT_TRUE(allocator.checkIntegrity().isOk());
}

TEST(Generator, OnePagePool) {
  FakeEngine engine(1);
  PageAllocator allocator(1);
  Generator generator(*engine.executor, allocator, {});
  const GenerationRequest fits = greedyRequest({3, 4}, 3), overflows = greedyRequest({3, 4}, 4);
  auto result = generator.run({&fits, 1}, {});
  EXPECT_EQ((*result)[0].tokens, referenceGreedy(engine.installed.weights, {3, 4}, 3, false));
  result = generator.run({&overflows, 1}, {});
  EXPECT_EQ((*result)[0].finish, FinishReason::Failed);
  EXPECT_EQ((*result)[0].status.message(),
            "the KV cache is full (1 pages of 4 tokens): position 4 has no page");
  EXPECT_EQ((*result)[0].tokens.size(), 3u);
  EXPECT_EQ(allocator.freePages(), 1u);
}

TEST(Generator, StopsAtEndTokens) {
  FakeEngine engine(20);
  PageAllocator allocator(20);
  Generator generator(*engine.executor, allocator, {});
  bool sawEos = false;
  for (int start = 0; start < 39; ++start) {
    GenerationRequest request = greedyRequest(makePrompt(5, start), 20);
    request.ignoreEos = false;
    const auto result = generator.run({&request, 1}, {});
    const std::vector<int32_t> expected =
        referenceGreedy(engine.installed.weights, request.prompt, 20, true);
    ASSERT_EQ((*result)[0].tokens, expected);
    ASSERT_EQ((*result)[0].finish == FinishReason::Eos, expected.size() < 20);
    sawEos |= expected.size() < 20;
  }
  EXPECT_TRUE(sawEos) << "the test needs a prompt that ends";
}

TEST(Generator, TheListenerCancels) {
  FakeEngine engine(20);
  PageAllocator allocator(20);
  Generator generator(*engine.executor, allocator, {});
  const GenerationRequest request = greedyRequest({1}, 30);
  int seen = 0;
  const auto result = generator.run({&request, 1}, [&](size_t, int32_t) { return ++seen < 4; });
  EXPECT_EQ((*result)[0].finish, FinishReason::Cancelled);
  EXPECT_EQ((*result)[0].tokens.size(), 4u);
  EXPECT_EQ(allocator.freePages(), 20u);
}

TEST(Generator, BadTokensAndPositionsAreRefused) {
  FakeEngine engine(20);
  PageAllocator allocator(20);
  Generator generator(*engine.executor, allocator, {});
  auto errorOf = [&](std::vector<int32_t> prompt) {
    const GenerationRequest request = greedyRequest(std::move(prompt), 2);
    const auto result = generator.run({&request, 1}, {});
    EXPECT_EQ(allocator.freePages(), 20u);
    return result ? (*result)[0].status.message() : result.status().message();
  };
  EXPECT_EQ(errorOf({}), "the prompt is empty: at least one token is needed");
  EXPECT_EQ(errorOf({1, 40}), "token id 40 is outside the vocabulary of 40");
  EXPECT_EQ(errorOf({-1}), "token id -1 is outside the vocabulary of 40");
  EXPECT_EQ(errorOf(makePrompt(65)), "position 64 is beyond the 64 positions of the model");
  EXPECT_EQ(errorOf(makePrompt(63)), "the compiled model cannot run this step: the fake model "
                                     "refuses to start at its last position");
}

// One request's logits turn into NaN: it fails with one line, its neighbour does not notice.
TEST(Generator, NotFiniteLogitsFailOneRequest) {
  fake::Weights weights = fake::makeWeights();
  for (int c = 0; c < fake::kHidden; ++c)
    weights.embed[size_t(20 * fake::kHidden + c)] = 3e38f;
  FakeEngine engine(20, {.threads = 2}, &weights);
  PageAllocator allocator(20);
  Generator generator(*engine.executor, allocator, {});
  for (double temperature : {0.0, 0.7}) {
    std::vector<GenerationRequest> requests = {greedyRequest({1, 2}, 1), greedyRequest({20, 2}, 1)};
    for (GenerationRequest &request : requests)
      request.sampling.temperature = temperature;
    const auto result = generator.run(requests, {});
    ASSERT_TRUE(result.isOk()) << result.status().message();
    EXPECT_EQ((*result)[1].finish, FinishReason::Failed);
    EXPECT_EQ((*result)[1].status.message().rfind("the logits for position 2 are not finite", 0),
              0u)
        << (*result)[1].status.message();
  }
}

TEST(Executor, CountsCostAndLaunches) {
  FakeEngine engine(20);
  PageAllocator allocator(20);
  Generator generator(*engine.executor, allocator, {});
  Profile profile;
  engine.executor->setProfile(&profile);
  const GenerationRequest request = greedyRequest({1, 2, 3}, 3);
  ASSERT_TRUE(generator.run({&request, 1}, {}).isOk());
  engine.executor->setProfile(nullptr);
  const Manifest &manifest = engine.artifact->manifest();
  uint64_t launches = 0;
  for (size_t e = 0; e < profile.timings.entries().size(); ++e) {
    const auto &ops = profile.timings.entries()[e];
    if (!ops.empty()) {
      EXPECT_EQ(ops.size(), manifest.entries[e].schedule.size());
    }
    for (const LaunchTiming &timing : ops)
      launches += timing.calls;
  }
  EXPECT_EQ(launches, 3u * 4) << "three steps of four launches";
  EXPECT_EQ(engine.device->launches(), launches);
  // The last step: one token at context 5; weights 32 + 4 + 32 + 1280, activations 4 * 64.
  EXPECT_EQ(engine.executor->lastCost().bytes, 32u + 4 + 32 + 1280 + 4 * 64 + 5 * 2 * 8 * 4);
}

} // namespace
} // namespace sinter
