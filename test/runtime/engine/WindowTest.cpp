//===- WindowTest.cpp - sequences of which only a window is kept ----------===//
#include "runtime/engine/Generator.h"
#include "test/runtime/engine/EngineSteps.h"

namespace sinter::test {
namespace {

/// So many tokens are cached, in pages of four.
Sequence cachedSequence(PageAllocator &allocator, uint32_t tokens, uint64_t window) {
  Sequence sequence(allocator, 4, window);
  sequence.append(std::vector<int32_t>(tokens + 1, 1));
  EXPECT_TRUE(sequence.reserve(tokens).isOk());
  sequence.advance(tokens);
  return sequence;
}

TEST(Window, PagesGoWhenTheNextTokenSeesNoneOfThem) {
  for (const auto &[window, cached, dropped] :
       std::vector<std::tuple<uint64_t, uint32_t, uint32_t>>{{0, 40, 0},
                                                             {1, 3, 0},
                                                             {1, 4, 1},
                                                             {1, 7, 1},
                                                             {6, 8, 0},
                                                             {6, 9, 1}, // position 9 sees 4 to 9
                                                             {6, 12, 1},
                                                             {6, 13, 2},
                                                             {100, 40, 0}}) {
    PageAllocator allocator(10);
    Sequence sequence = cachedSequence(allocator, cached, window);
    sequence.dropUnseen();
    EXPECT_EQ(sequence.dropped(), dropped) << window << " of " << cached;
    EXPECT_EQ(sequence.pages().size(), (cached + 3) / 4);
    EXPECT_EQ(allocator.ownedPages(), (cached + 3) / 4 - dropped);
    for (uint32_t i = 0; i < dropped; ++i)
      EXPECT_EQ(sequence.pages()[i], kNoPage);
    EXPECT_TRUE(sequence.checkIntegrity().isOk());
    sequence.releasePages();
    EXPECT_EQ(allocator.freePages(), 10u);
    EXPECT_EQ(sequence.dropped(), 0u);
  }
}

TEST(Window, PagesThatAStepMayStillReadAreNotReused) {
  PageAllocator allocator(3);
  Sequence sequence = cachedSequence(allocator, 12, 4);
  const StepId step = allocator.beginStep();
  sequence.dropUnseen();
  EXPECT_EQ(allocator.restingPages(), 2u);
  EXPECT_FALSE(sequence.reserve(1).isOk());
  allocator.endStep(step);
  EXPECT_TRUE(sequence.reserve(1).isOk());
  EXPECT_TRUE(allocator.checkIntegrity().isOk());
}

TEST(Window, ForksShareTheWindowOrStartAgain) {
  PageAllocator allocator(10);
  Sequence sequence = cachedSequence(allocator, 12, 5);
  sequence.dropUnseen();
  ASSERT_EQ(sequence.dropped(), 2u); // position 12 sees 8 to 12
  const Sequence at12 = sequence.fork();
  EXPECT_EQ(at12.cached(), 12u);
  EXPECT_EQ(at12.heldPages(), 1u);
  EXPECT_TRUE(at12.checkIntegrity().isOk());
  sequence.truncate(12); // the last token runs again in a fork: from position 8, which sees 4
  const Sequence at8 = sequence.fork();
  EXPECT_EQ(at8.cached(), 0u);
  EXPECT_EQ(at8.heldPages(), 0u);
}

TEST(Window, ASequenceOutgrowsThePool) {
  for (const uint32_t window : {1u, 2u, 5u, 9u})
    for (const uint32_t more : {0u, 1u, 3u})
      for (const uint32_t lookup : {0u, 7u}) {
        ToyShape shape;
        shape.window = window;
        shape.pages = uint32_t(pagesOfWindow(window, 1, shape.pageSize)) + more;
        ToyModel model(shape);
        const auto engine = model.engine();
        EXPECT_EQ(engine->limits().maxTokens, shape.positions);
        Request request = greedyRequest(makePrompt(150), 100);
        request.promptLookup = lookup;
        ASSERT_TRUE(engine->validate(request).isOk());
        const Ear heard = submit(*engine, 1, request);
        runAll(*engine);
        EXPECT_EQ(heard->tokens(), toyGreedy(makePrompt(150), 100, true, window));
        EXPECT_EQ(model.device.wrongReads, 0u);
      }
}

TEST(Window, OneThatDoesNotFitThePoolLimitsNothingButItself) {
  ToyShape shape;
  shape.window = 30;
  shape.pages = 8; // of the 9 that 30 positions may lie in
  ToyModel model(shape);
  const auto engine = model.engine();
  EXPECT_EQ(engine->limits().maxTokens, 32u);
  EXPECT_EQ(engine->validate(greedyRequest(makePrompt(20), 13)).message(),
            "a prompt of 20 and 13 new tokens are more than the 32 that there is room for");
  const Ear heard = submit(*engine, 1, greedyRequest(makePrompt(20), 12));
  runAll(*engine);
  EXPECT_EQ(heard->tokens(), toyGreedy(makePrompt(20), 12, true, 30));
}

TEST(Window, ManySequencesShareAPoolThatHoldsNoneWhole) {
  uint64_t preemptions = 0, swapped = 0;
  for (const uint64_t swapBytes : {0, 1 << 20}) {
    ToyShape shape;
    shape.window = 10;
    shape.pages = 16;
    ToyModel model(shape);
    EngineOptions options;
    options.tokensPerStep = 24;
    options.swapBytes = swapBytes;
    options.operationsPerSecond = 1; // swapping is cheaper
    const auto engine = model.engine(options);
    std::vector<Ear> heard;
    for (uint32_t i = 0; i < 8; ++i) {
      Request request = greedyRequest(makePrompt(70 + i, i), 60);
      request.priority = int32_t(i); // who comes goes first
      heard.push_back(submit(*engine, i + 1, request));
      for (int step = 0; step < 9; ++step)
        ASSERT_TRUE(engine->step().isOk());
    }
    runAll(*engine);
    for (uint32_t i = 0; i < 8; ++i)
      EXPECT_EQ(heard[i]->tokens(), toyGreedy(makePrompt(70 + i, i), 60, true, 10)) << i;
    EXPECT_EQ(model.device.wrongReads, 0u);
    preemptions += engine->figures().preemptions;
    swapped += engine->figures().pagesEverSwapped;
  }
  EXPECT_GT(preemptions, 0u);
  EXPECT_GT(swapped, 0u);
}

TEST(Window, PrefixesAreFoundWhileAllTheirPagesAreCached) {
  ToyShape shape;
  shape.window = 6;
  shape.pages = 20;
  ToyModel model(shape);
  const auto engine = model.engine();
  const auto ask = [&](const std::vector<int32_t> &prompt) {
    const Ear heard = submit(*engine, model.device.steps + 1, greedyRequest(prompt, 5));
    runAll(*engine);
    EXPECT_EQ(heard->tokens(), toyGreedy(prompt, 5, true, 6));
    return heard->usage.cachedTokens;
  };
  EXPECT_EQ(ask(makePrompt(40)), 0u);
  EXPECT_EQ(ask(makePrompt(40)), 39u);
  EXPECT_EQ(ask(makePrompt(60, 1)), 0u); // takes the first pages of the other's
  EXPECT_EQ(ask(makePrompt(40)), 0u);
}

TEST(Window, TheGeneratorRunsInASmallPoolToo) {
  ToyShape shape;
  shape.window = 7;
  shape.pages = 6;
  ToyModel model(shape);
  PageAllocator allocator(shape.pages, 3);
  allocator.setOnFree([&](PageId page) { EXPECT_TRUE(model.executor->poisonPage(page).isOk()); });
  Generator generator(*model.executor, allocator, {.prefillChunk = 50});
  std::vector<GenerationRequest> requests(2);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = makePrompt(90, uint32_t(i));
    requests[i].maxTokens = 80;
    requests[i].sampling.temperature = 0;
    requests[i].ignoreEos = true;
  }
  const auto results = generator.run(requests, {});
  ASSERT_TRUE(results.isOk()) << results.status().message();
  for (size_t i = 0; i < requests.size(); ++i)
    EXPECT_EQ((*results)[i].tokens, toyGreedy(requests[i].prompt, 80, true, 7))
        << (*results)[i].status.message();
  EXPECT_EQ(model.device.wrongReads, 0u);
  EXPECT_EQ(allocator.freePages(), shape.pages);
}

TEST(Window, CostsCountWhatIsSeen) {
  ToyModel model;
  model.manifest.model.heads = 1;
  OpPlan op = {.name = "attention", .op = "attention", .readsKv = true};
  for (EntryPlan &entry : model.manifest.entries) {
    entry.schedule.clear();
    for (const uint64_t window : {0u, 5u, 100u}) {
      op.op = "window " + std::to_string(window);
      op.window = window;
      entry.schedule.push_back(op);
    }
  }
  PageAllocator allocator(model.shape.pages);
  Sequence sequence(allocator, model.shape.pageSize);
  sequence.append(makePrompt(12));
  StepOutput output;
  const uint64_t token = model.manifest.kv.tokenBytes();
  const auto step = [&](uint32_t tokens, uint64_t read, uint64_t seen) {
    ASSERT_TRUE(sequence.reserve(tokens).isOk());
    const WorkItem item = {&sequence, tokens, Rows::Last};
    const uint64_t context = sequence.cached() + tokens;
    ASSERT_TRUE(model.executor->step({&item, 1}, HeadKind::Argmax, output).isOk());
    for (const char *whole : {"window 0", "window 100"})
      EXPECT_EQ(model.executor->lastCost(whole).bytes, context * token);
    EXPECT_EQ(model.executor->lastCost("window 5").bytes, read * token);
    EXPECT_EQ(model.executor->lastCost("window 5").flops, 4 * seen);
  };
  step(8, 8, 1 + 2 + 3 + 4 + 5 + 5 + 5 + 5);
  step(3, 7, 15);
  step(1, 5, 5);
}

} // namespace
} // namespace sinter::test
