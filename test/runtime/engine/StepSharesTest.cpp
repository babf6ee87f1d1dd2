//===- StepSharesTest.cpp - sequences shared out to threads ---------------===//
#include "runtime/engine/StepShares.h"
#include "test/runtime/engine/FakeEngine.h"

#include <algorithm>
#include <deque>
#include <gtest/gtest.h>
#include <vector>

namespace sinter {
namespace {

constexpr uint64_t kCache = 1 << 20;

/// Sequences that have `context` tokens each and wait for one more, or for `waiting`.
class Sequences {
public:
  void add(uint32_t context, uint32_t waiting = 1) {
    Sequence &sequence = sequences_.emplace_back(allocator_, fake::kPageSize);
    sequence.append(std::vector<int32_t>(context + waiting, 1));
    sequence.advance(context);
    items_.push_back({&sequence, waiting, Rows::Last});
  }
  void add(uint32_t context, size_t count, uint32_t waiting) {
    for (size_t i = 0; i < count; ++i)
      add(context, waiting);
  }
  /// Items per share.
  std::vector<size_t> divided(const StepShares &shares) const {
    std::vector<size_t> sizes;
    const WorkItem *next = items_.data();
    for (std::span<const WorkItem> share : shares.divide(items_)) {
      EXPECT_EQ(share.data(), next) << "every item once, in order";
      next += share.size();
      sizes.push_back(share.size());
    }
    EXPECT_EQ(next, items_.data() + items_.size());
    return sizes;
  }

private:
  PageAllocator allocator_{4};
  std::deque<Sequence> sequences_; // items point to them
  std::vector<WorkItem> items_;
};

/// As many operations for a token's linears as for its attention over 64 positions, of which one
/// counts three times.
Manifest makeManifest() {
  Manifest manifest;
  manifest.model.layers = manifest.model.heads = 1;
  manifest.kv.layers = manifest.kv.heads = 1;
  manifest.kv.headDim = 16;
  manifest.kv.dtype = DType::BF16;
  EntryPlan one, many;
  one.maxTokens = 1;
  many.minTokens = 2, many.maxTokens = 64;
  many.schedule.resize(2);
  for (OpPlan &op : many.schedule)
    op.weightBytes = kCache / 8, op.flopsPerToken = 64 * 4 * 16 * 3 / 2;
  manifest.entries = {one, many};
  return manifest;
}

StepShares makeShares(const Manifest &manifest, CpuOptions options = {.threads = 2}) {
  options.sharedCacheBytes = kCache;
  const auto device = *CpuDevice::create(options);
  return StepShares(manifest, *device);
}

using Sizes = std::vector<size_t>;

TEST(StepShares, EveryThreadGetsAsMuch) {
  const Manifest manifest = makeManifest();
  Sequences equal;
  equal.add(10, 16, 1);
  EXPECT_EQ(equal.divided(makeShares(manifest)), (Sizes{8, 8}));
  EXPECT_EQ(equal.divided(makeShares(manifest, {.threads = 4})), (Sizes{4, 4, 4, 4}));
  EXPECT_EQ(equal.divided(makeShares(manifest, {.threads = 1})), (Sizes{16}));
  // 65 positions take as long as the linears: 6 of these cost what 12 of those do.
  Sequences mixed;
  mixed.add(64, 6, 1);
  mixed.add(0, 12, 1);
  EXPECT_EQ(mixed.divided(makeShares(manifest)), (Sizes{6, 12}));
}

TEST(StepShares, ComputesTogetherWhereThatIsAsFast) {
  const Manifest manifest = makeManifest();
  Sequences few;
  few.add(10, 7, 1);
  EXPECT_EQ(few.divided(makeShares(manifest)), (Sizes{7})) << "tokens for each thread";
  Sequences uneven;
  uneven.add(10, 8, 1);
  uneven.add(2000, 1, 1);
  EXPECT_EQ(uneven.divided(makeShares(manifest)), (Sizes{9}));
  Sequences prompt;
  prompt.add(10, 15, 1);
  prompt.add(0, 1, 40);
  EXPECT_EQ(prompt.divided(makeShares(manifest)), (Sizes{16}));
  Sequences prompts;
  prompts.add(0, 2, 20);
  EXPECT_EQ(prompts.divided(makeShares(manifest)), (Sizes{1, 1})) << "tokens count, not items";
  Sequences equal;
  equal.add(10, 16, 1);
  EXPECT_EQ(equal.divided(makeShares(manifest, {.threads = 2, .dataParallel = false})),
            (Sizes{16}));
  EXPECT_EQ(equal.divided(StepShares()), (Sizes{16}));
}

TEST(StepShares, OnlyInTheSharedCache) {
  Manifest manifest = makeManifest();
  // Weights take a quarter; a position of K and V is 64 bytes.
  const uint32_t most = kCache * 3 / 4 / 64 / 16 - 1;
  Sequences fits, tooLong;
  fits.add(most, 16, 1);
  tooLong.add(most + 1, 16, 1);
  EXPECT_EQ(fits.divided(makeShares(manifest)), (Sizes{8, 8}));
  EXPECT_EQ(tooLong.divided(makeShares(manifest)), (Sizes{16}));
  manifest.kv.window = 512;
  EXPECT_EQ(tooLong.divided(makeShares(manifest)), (Sizes{8, 8}));
  Sequences windowed; // all see as much
  windowed.add(5000, 8, 1);
  windowed.add(600, 8, 1);
  EXPECT_EQ(windowed.divided(makeShares(manifest)), (Sizes{8, 8}));
  manifest.entries[1].schedule[0].weightBytes = kCache / 2;
  EXPECT_EQ(makeShares(manifest).most(), 1u);
}

/// Runs `items` and returns the rows' logits, and the activations in `activations`.
std::vector<float> logitsOf(FakeEngine &engine, std::span<const WorkItem> items,
                            std::vector<uint8_t> *activations = nullptr) {
  StepOutput output;
  const Status status = engine.executor->step(items, HeadKind::Logits, output);
  EXPECT_TRUE(status.isOk()) << status.message();
  if (activations)
    EXPECT_TRUE(engine.executor
                    ->readActivations([&](const BufferPlan &plan, uint64_t rows, const void *from) {
                      const auto *bytes = static_cast<const uint8_t *>(from);
                      activations->assign(bytes, bytes + rows * plan.columns * 4);
                      return Status::ok();
                    })
                    .isOk());
  return output.logits;
}

/// Steps of sequences of different lengths, computed in shares and not: the same bits, also of what
/// is written to the cache, which later steps read.
TEST(StepShares, GivesTheSameBits) {
  std::vector<std::vector<float>> results[2];
  std::vector<uint8_t> activations[2];
  for (bool shared : {false, true}) {
    FakeEngine engine(
        80, {.threads = 3, .dataParallel = shared, .sharedCacheBytes = uint64_t(1) << 30});
    PageAllocator allocator(80);
    std::deque<Sequence> sequences;
    for (int i = 0; i < 14; ++i) {
      std::vector<int32_t> tokens;
      for (int t = 0; t < 10 + i % 3; ++t)
        tokens.push_back((i * 7 + t * 11) % fake::kVocab);
      sequences.emplace_back(allocator, fake::kPageSize).append(tokens);
    }
    uint32_t divided = 0;
    for (int step = 0; step < 9; ++step) {
      std::vector<WorkItem> items;
      for (Sequence &sequence : sequences) {
        const uint32_t count = step == 0 ? 2 : 1;
        ASSERT_TRUE(sequence.reserve(count).isOk());
        items.push_back({&sequence, count, items.size() % 4 == 1 ? Rows::None : Rows::All});
      }
      results[shared].push_back(logitsOf(engine, items, &activations[shared]));
      divided += engine.executor->lastShares() == 3;
    }
    EXPECT_EQ(divided, shared ? 9u : 0u);
    size_t row = 0;
    for (size_t i = 0; i < sequences.size(); ++i) {
      if (i % 4 == 1)
        continue;
      const std::vector<int32_t> seen(sequences[i].tokens().begin(),
                                      sequences[i].tokens().begin() + sequences[i].cached());
      const auto expected = fake::referenceLogits(engine.installed.weights, seen);
      EXPECT_TRUE(std::equal(expected.end() - fake::kVocab, expected.end(),
                             results[shared].back().begin() + ptrdiff_t(row++ * fake::kVocab)))
          << "sequence " << i;
    }
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_FALSE(activations[0].empty());
  EXPECT_EQ(activations[0], activations[1]);
}

/// What a step leaves stays when the next one is refused; a share may have no rows.
TEST(StepShares, RefusedStepsChangeNothing) {
  FakeEngine engine(40, {.threads = 2, .sharedCacheBytes = uint64_t(1) << 30});
  PageAllocator allocator(40);
  std::deque<Sequence> sequences;
  std::vector<WorkItem> items;
  for (int i = 0; i < 8; ++i) {
    Sequence &sequence = sequences.emplace_back(allocator, fake::kPageSize);
    sequence.append(std::vector<int32_t>(20, i));
    ASSERT_TRUE(sequence.reserve(20).isOk());
    items.push_back({&sequence, 1, i < 4 ? Rows::None : Rows::Last});
  }
  std::vector<uint8_t> before;
  EXPECT_EQ(logitsOf(engine, items, &before).size(), 4u * fake::kVocab);
  ASSERT_EQ(engine.executor->lastShares(), 2u);
  for (WorkItem &item : items)
    item.tokens = 19; // more than a step may have
  StepOutput output;
  EXPECT_FALSE(engine.executor->step(items, HeadKind::Logits, output).isOk());
  EXPECT_EQ(engine.executor->lastShares(), 2u);
  std::vector<uint8_t> after;
  ASSERT_TRUE(engine.executor
                  ->readActivations([&](const BufferPlan &plan, uint64_t rows, const void *from) {
                    const auto *bytes = static_cast<const uint8_t *>(from);
                    after.assign(bytes, bytes + rows * plan.columns * 4);
                    return Status::ok();
                  })
                  .isOk());
  EXPECT_EQ(before, after);
}

TEST(StepShares, GivesTheSameArgmax) {
  StepOutput outputs[2];
  for (bool shared : {false, true}) {
    FakeEngine engine(
        40, {.threads = 2, .dataParallel = shared, .sharedCacheBytes = uint64_t(1) << 30});
    PageAllocator allocator(40);
    std::deque<Sequence> sequences;
    std::vector<WorkItem> items;
    for (int i = 0; i < 9; ++i) {
      Sequence &sequence = sequences.emplace_back(allocator, fake::kPageSize);
      sequence.append(std::vector<int32_t>{i, 3 * i % fake::kVocab});
      ASSERT_TRUE(sequence.reserve(2).isOk());
      items.push_back({&sequence, 2, Rows::Last});
    }
    ASSERT_TRUE(engine.executor->step(items, HeadKind::Argmax, outputs[shared]).isOk());
    EXPECT_EQ(engine.executor->lastShares(), shared ? 2u : 1u);
  }
  EXPECT_EQ(outputs[0].argmaxIndex, outputs[1].argmaxIndex);
  EXPECT_EQ(outputs[0].argmaxValue, outputs[1].argmaxValue);
  EXPECT_EQ(outputs[0].argmaxIndex.size(), 9u);
}

} // namespace
} // namespace sinter
