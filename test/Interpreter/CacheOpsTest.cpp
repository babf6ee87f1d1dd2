//===- CacheOpsTest.cpp - rotation, pages, attention, ranks by hand -------===//
#include "Graph.h"

#include "sinter/Support/Philox.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <cmath>

using namespace sinter;
using namespace sinter::interp;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pointwise;

namespace {

constexpr Mode kExact{0}, kDeclared{1};

Tensor randomTensor(std::vector<int64_t> shape, uint64_t seed) {
  Tensor tensor(std::move(shape));
  for (size_t i = 0; i < tensor.data.size(); ++i)
    tensor.data[i] = 2 * double(uniform(seed, i, 0)) - 1;
  return tensor;
}

std::vector<Tensor> run(const std::string &text, const GraphCall &call, Mode mode = kExact) {
  auto results = runGraph(text, mode, call);
  EXPECT_TRUE(results.isOk()) << results.status().message();
  return results ? *results : std::vector<Tensor>(2);
}

testing::Matcher<std::vector<double>> near(std::vector<double> want) {
  return Pointwise(DoubleNear(1e-12), want);
}

std::string replaced(std::string text, const std::string &from, const std::string &to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

TEST(Rope, TurnsHalvesByThePositionsRow) {
  GraphCall call;
  // Row 0 is no position of the batch; row 1 turns pair (0, 2) by a quarter and leaves (1, 3).
  call.arguments = {Tensor({1, 1, 4}, {1, 2, 3, 4}), Tensor({2, 4}, {9, 9, 9, 9, 0, 1, 1, 0})};
  call.batch = oneSequence(1, 16, 1);
  const auto y = run(R"(
    func.func @f(%x: tensor<1x1x4xf32>, %t: tensor<2x4xf32>, %b: !xfmr.batch) -> tensor<1x1x4xf32> {
      %0 = xfmr.rope %x, %t, %b
        : (tensor<1x1x4xf32>, tensor<2x4xf32>, !xfmr.batch) -> tensor<1x1x4xf32>
      return %0 : tensor<1x1x4xf32> })",
                     call);
  EXPECT_THAT(y[0].data, ElementsAre(-3, 2, 1, 4));
}

TEST(Rope, PositionBeyondTheTableIsAnError) {
  GraphCall call;
  call.arguments = {Tensor({1, 1, 2}), Tensor({2, 2})};
  call.batch = oneSequence(1, 16, 2);
  const auto result = runGraph(R"(
    func.func @f(%x: tensor<1x1x2xf32>, %t: tensor<2x2xf32>, %b: !xfmr.batch) -> tensor<1x1x2xf32> {
      %0 = xfmr.rope %x, %t, %b
        : (tensor<1x1x2xf32>, tensor<2x2xf32>, !xfmr.batch) -> tensor<1x1x2xf32>
      return %0 : tensor<1x1x2xf32> })",
                               kExact, call);
  EXPECT_THAT(result.status().message(),
              HasSubstr("position 2 is beyond the 2 positions of the rope table"));
}

//===----------------------------------------------------------------------===//
// kv_write and attention
//===----------------------------------------------------------------------===//

/// Writes K and V, then attends. H kv heads, Q query heads, head size 2, pages of 2 tokens.
std::string attentionText(int heads, int queries, const std::string &type = "f32",
                          bool scaled = false) {
  std::string text = R"(
    func.func @f(%q: tensor<?xQx2xT>, %k: tensor<?xHx2xT>, %v: tensor<?xHx2xT>, %s: tensor<1xf32>,
                 %b: !xfmr.batch, %kv: !xfmr.kv<H, 2, 2, T, token_major>)
        -> (tensor<?xQx2xT>, !xfmr.kv<H, 2, 2, T, token_major>) {
      %0 = xfmr.kv_write %kv, %k, %v, %b SCALE
        : (!xfmr.kv<H, 2, 2, T, token_major>, tensor<?xHx2xT>, tensor<?xHx2xT>, !xfmr.batch STYPE)
          -> !xfmr.kv<H, 2, 2, T, token_major>
      %1 = xfmr.attention %q, %0, %b SCALE {scale = 1.0 : f32}
        : (tensor<?xQx2xT>, !xfmr.kv<H, 2, 2, T, token_major>, !xfmr.batch STYPE) -> tensor<?xQx2xT>
      return %1, %0 : tensor<?xQx2xT>, !xfmr.kv<H, 2, 2, T, token_major>
    })";
  text = replaced(text, "STYPE", scaled ? ", tensor<1xf32>" : "");
  text = replaced(text, "SCALE", scaled ? "k_scale %s" : "");
  for (const char *around : {"xQx", "xHx"})
    text = replaced(text, around, "x" + std::to_string(around[1] == 'Q' ? queries : heads) + "x");
  text = replaced(text, "kv<H,", "kv<" + std::to_string(heads) + ",");
  text = replaced(text, "xT>", "x" + type + ">");
  return replaced(text, ", T,", ", " + type + ",");
}

/// Two tokens whose scores at the second are ln 3 and 0: weights 3/4 and 1/4.
GraphCall twoTokens() {
  const double l = std::log(3.0);
  GraphCall call;
  call.arguments = {Tensor({2, 1, 2}, {5, 5, l, 0}), Tensor({2, 1, 2}, {1, 0, 0, 1}),
                    Tensor({2, 1, 2}, {4, 0, 0, 8}), Tensor({1}, {1})};
  call.batch = oneSequence(2, 2);
  return call;
}

TEST(Attention, IsCausalAndWeighsBySoftmax) {
  EXPECT_THAT(run(attentionText(1, 1), twoTokens())[0].data, near({4, 0, 3, 2}));
}

TEST(Attention, FollowsTheBlockTable) {
  GraphCall call = twoTokens();
  call.batch = oneSequence(2, 2, 1); // positions 1 and 2, on two pages
  call.batch.blockTable = {3, 1};
  call.batch.slots = {3 * 2 + 1, 1 * 2 + 0};
  // Position 0 was never written, so both tokens see a NaN.
  EXPECT_TRUE(std::isnan(run(attentionText(1, 1), call)[0].data[0]));
  call.batch.positions = {0, 1};
  call.batch.slots = {6, 7};
  call.batch.ctx = {2};
  EXPECT_THAT(run(attentionText(1, 1), call)[0].data, near({4, 0, 3, 2}));
  const auto cache = cacheAfter(attentionText(1, 1), kExact, call);
  ASSERT_TRUE(cache.isOk());
  EXPECT_THAT(std::vector<double>(cache->k[0].row(6), cache->k[0].row(8)), ElementsAre(1, 0, 0, 1));
  EXPECT_TRUE(std::isnan(cache->k[0].row(0)[0])) << "page 0 is not in the table";
}

TEST(Attention, SeesTheWindowAlone) {
  const auto windowed = [](int window) {
    return replaced(attentionText(1, 1), "scale = 1.0 : f32",
                    "scale = 1.0 : f32, window = " + std::to_string(window) + " : i32");
  };
  EXPECT_THAT(run(windowed(1), twoTokens())[0].data, near({4, 0, 0, 8}));
  EXPECT_THAT(run(windowed(2), twoTokens())[0].data, near({4, 0, 3, 2}));
  EXPECT_THAT(run(windowed(2147483647), twoTokens())[0].data, near({4, 0, 3, 2}));
  // Position 0 was never written: the second of positions 1 and 2 does not see it.
  GraphCall call = twoTokens();
  call.batch = oneSequence(2, 2, 1);
  const auto y = run(windowed(2), call)[0].data;
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_THAT(std::vector(y.begin() + 2, y.end()), near({3, 2}));
}

TEST(Attention, SequencesDoNotSeeEachOther) {
  GraphCall call = twoTokens();
  call.batch.cuQ = {0, 1, 2};
  call.batch.ctx = {1, 1};
  call.batch.positions = {0, 0};
  call.batch.slots = {2, 4};
  call.batch.blockTable = {1, 2};
  call.batch.tableStride = 1;
  EXPECT_THAT(run(attentionText(1, 1), call)[0].data, near({4, 0, 0, 8}));
}

TEST(Attention, QueryHeadsShareKvHeadsInOrder) {
  GraphCall call;
  // One token: the output of a query head is the V of its kv head.
  call.arguments = {Tensor({1, 6, 2}), Tensor({1, 2, 2}), Tensor({1, 2, 2}, {1, 2, 3, 4}),
                    Tensor({1}, {1})};
  call.batch = oneSequence(1, 2);
  EXPECT_THAT(run(attentionText(2, 6), call)[0].data,
              ElementsAre(1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4));
}

TEST(KvWrite, SlotMinusOneWritesNothing) {
  GraphCall call = twoTokens();
  call.batch.slots = {-1, 1};
  const auto cache = cacheAfter(attentionText(1, 1), kExact, call);
  ASSERT_TRUE(cache.isOk()) << cache.status().message();
  EXPECT_TRUE(std::isnan(cache->k[0].data[0]) && std::isnan(cache->v[0].data[0]));
  EXPECT_EQ(cache->v[0].row(1)[1], 8);
}

TEST(KvWrite, KScaleDividesWhatIsStoredAndAttentionUndoesIt) {
  GraphCall call = twoTokens();
  call.arguments[3] = Tensor({1}, {4});
  const std::string text = attentionText(1, 1, "f32", true);
  EXPECT_THAT(run(text, call)[0].data, near({4, 0, 3, 2}));
  const auto cache = cacheAfter(text, kExact, call);
  ASSERT_TRUE(cache.isOk()) << cache.status().message();
  EXPECT_EQ(cache->k[0].data[0], 0.25);
  EXPECT_EQ(cache->v[0].data[0], 4) << "V is not scaled";
}

TEST(KvWrite, F16OverflowsOnlyWithoutTheScale) {
  GraphCall call = twoTokens();
  call.arguments[0].data = {0, 0, 0, 0};
  // K arrives in f32, so that nothing but the store into the cache can overflow.
  call.arguments[1].data[0] = 120000;
  std::string text = attentionText(1, 1, "f16", true);
  text = replaced(text, "%k: tensor<?x1x2xf16>", "%k: tensor<?x1x2xf32>");
  text = replaced(text, "%v: tensor<?x1x2xf16>", "%v: tensor<?x1x2xf32>");
  text = replaced(text, "tensor<?x1x2xf16>, tensor<?x1x2xf16>, !xfmr.batch",
                  "tensor<?x1x2xf32>, tensor<?x1x2xf32>, !xfmr.batch");
  const auto stored = [&](double scale) {
    call.arguments[3] = Tensor({1}, {scale});
    const auto cache = cacheAfter(text, kDeclared, call);
    EXPECT_TRUE(cache.isOk()) << cache.status().message();
    return cache ? cache->k[0].data[0] : 0;
  };
  EXPECT_TRUE(std::isinf(stored(1)));
  EXPECT_EQ(stored(4), 30000);
}

TEST(KvWrite, Fp8RoundsInBothModes) {
  GraphCall call = twoTokens();
  call.arguments[1].data = {17, 19, 0.3, -500};
  call.arguments[2].data = {17.5, -1000, 0.001, 0};
  const std::string text =
      replaced(attentionText(1, 1), "2, 2, f32, token_major", "2, 2, f8E4M3FN, token_major");
  for (const Mode mode : {kExact, kDeclared}) {
    const auto cache = cacheAfter(text, mode, call);
    ASSERT_TRUE(cache.isOk()) << cache.status().message();
    EXPECT_THAT(std::vector<double>(cache->k[0].row(0), cache->k[0].row(2)),
                ElementsAre(16, 20, 0.3125, -448));
    EXPECT_THAT(std::vector<double>(cache->v[0].row(0), cache->v[0].row(2)),
                ElementsAre(18, -448, 0x1p-9 * 1, 0));
  }
}

//===----------------------------------------------------------------------===//
// qk_norm_rope_write is what it replaces
//===----------------------------------------------------------------------===//

constexpr const char *kQkHead = R"(
    func.func @f(%x: tensor<5x24xT>, %t: tensor<9x4xf32>, %qg: tensor<4xf32>, %kg: tensor<4xf32>,
                 %s: tensor<1xf32>, %b: !xfmr.batch, %kv: !xfmr.kv<1, 2, 4, T, token_major>)
        -> (tensor<5x4x4xT>, !xfmr.kv<1, 2, 4, T, token_major>) {)";

std::string fusedQk(const std::string &type) {
  return replaced(std::string(kQkHead) + R"(
      %q, %h = xfmr.qk_norm_rope_write %x, %kv, %t, %b norm %qg, %kg k_scale %s {eps = 0.01 : f32}
        : (tensor<5x24xT>, !xfmr.kv<1, 2, 4, T, token_major>, tensor<9x4xf32>, !xfmr.batch,
           tensor<4xf32>, tensor<4xf32>, tensor<1xf32>)
          -> (tensor<5x4x4xT>, !xfmr.kv<1, 2, 4, T, token_major>)
      return %q, %h : tensor<5x4x4xT>, !xfmr.kv<1, 2, 4, T, token_major>
    })",
                  "T", type);
}

std::string unfusedQk(const std::string &type) {
  return replaced(std::string(kQkHead) + R"(
      %q0 = xfmr.split_heads %x : (tensor<5x24xT>) -> tensor<5x4x4xT>
      %k0 = xfmr.split_heads %x {offset = 16 : i64} : (tensor<5x24xT>) -> tensor<5x1x4xT>
      %v = xfmr.split_heads %x {offset = 20 : i64} : (tensor<5x24xT>) -> tensor<5x1x4xT>
      %q1 = xfmr.rms_norm %q0, %qg {eps = 0.01 : f32}
        : (tensor<5x4x4xT>, tensor<4xf32>) -> tensor<5x4x4xT>
      %k1 = xfmr.rms_norm %k0, %kg {eps = 0.01 : f32}
        : (tensor<5x1x4xT>, tensor<4xf32>) -> tensor<5x1x4xT>
      %q2 = xfmr.rope %q1, %t, %b
        : (tensor<5x4x4xT>, tensor<9x4xf32>, !xfmr.batch) -> tensor<5x4x4xT>
      %k2 = xfmr.rope %k1, %t, %b
        : (tensor<5x1x4xT>, tensor<9x4xf32>, !xfmr.batch) -> tensor<5x1x4xT>
      %h = xfmr.kv_write %kv, %k2, %v, %b k_scale %s
        : (!xfmr.kv<1, 2, 4, T, token_major>, tensor<5x1x4xT>, tensor<5x1x4xT>, !xfmr.batch,
           tensor<1xf32>) -> !xfmr.kv<1, 2, 4, T, token_major>
      return %q2, %h : tensor<5x4x4xT>, !xfmr.kv<1, 2, 4, T, token_major>
    })",
                  "T", type);
}

GraphCall qkCall() {
  GraphCall call;
  call.arguments = {roundTo(DType::BF16, randomTensor({5, 24}, 1)), randomTensor({9, 4}, 2),
                    randomTensor({4}, 3), randomTensor({4}, 4), Tensor({1}, {8})};
  call.batch = oneSequence(5, 2, 3);
  return call;
}

TEST(QkNormRopeWrite, EqualsItsParts) {
  const auto fused = run(fusedQk("f32"), qkCall()), parts = run(unfusedQk("f32"), qkCall());
  EXPECT_LE(relativeL2(fused[0], parts[0]), 1e-14);
  const auto a = cacheAfter(fusedQk("f32"), kExact, qkCall());
  const auto b = cacheAfter(unfusedQk("f32"), kExact, qkCall());
  ASSERT_TRUE(a.isOk() && b.isOk());
  EXPECT_LE(relativeL2(a->k[0], b->k[0]), 1e-14);
  EXPECT_LE(relativeL2(a->v[0], b->v[0]), 1e-14);
}

TEST(QkNormRopeWrite, RoundsQAndKOnce) {
  const auto declared = run(fusedQk("bf16"), qkCall(), kDeclared);
  EXPECT_EQ(relativeL2(declared[0], roundTo(DType::BF16, run(fusedQk("bf16"), qkCall())[0])), 0);
  const auto a = cacheAfter(fusedQk("bf16"), kDeclared, qkCall());
  const auto b = cacheAfter(fusedQk("bf16"), kExact, qkCall());
  const auto parts = cacheAfter(unfusedQk("bf16"), kDeclared, qkCall());
  ASSERT_TRUE(a.isOk() && b.isOk() && parts.isOk());
  EXPECT_EQ(relativeL2(a->k[0], roundTo(DType::BF16, b->k[0])), 0);
  EXPECT_GT(relativeL2(parts->k[0], a->k[0]), 1e-4) << "the parts round after norm and rotation";
}

//===----------------------------------------------------------------------===//
// Ranks
//===----------------------------------------------------------------------===//

/// y = W2 (W1 x) + b on two ranks: rows of W1, columns of W2, the bias on rank 0.
constexpr const char *kTwoRanks = R"(
    xfmr.weight @w1 : tensor<2x3xf32> from [#xfmr.source<"w1", 0, 4, rows, 2>]
    xfmr.weight @w2 : tensor<3x2xf32> from [#xfmr.source<"w2", 0, 3, columns, 2>]
    xfmr.weight @b : tensor<3xf32> from [#xfmr.source<"b", 0, 3, rank0, 2>]
    func.func @f(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x4xf32>) {
      %w1 = xfmr.get_weight @w1 : tensor<2x3xf32>
      %w2 = xfmr.get_weight @w2 : tensor<3x2xf32>
      %b = xfmr.get_weight @b : tensor<3xf32>
      %0 = xfmr.linear %x, %w1 : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x2xf32>
      %1 = xfmr.linear %0, %w2 bias %b {row_parallel}
        : (tensor<2x2xf32>, tensor<3x2xf32>, tensor<3xf32>) -> tensor<2x3xf32>
      %2 = xfmr.all_reduce %1 {ranks = 2 : i64} : tensor<2x3xf32>
      %3 = xfmr.all_gather %0 {ranks = 2 : i64} : (tensor<2x2xf32>) -> tensor<2x4xf32>
      return %2, %3 : tensor<2x3xf32>, tensor<2x4xf32>
    })";

GraphCall rankCall() {
  GraphCall call;
  call.arguments = {randomTensor({2, 3}, 1)};
  call.weights = {{"w1", randomTensor({4, 3}, 2)},
                  {"w2", randomTensor({3, 4}, 3)},
                  {"b", randomTensor({3}, 4)}};
  call.batch = oneSequence(2, 2);
  return call;
}

TEST(Ranks, ShardedLinearsGiveTheWholeOnes) {
  const GraphCall call = rankCall();
  const auto whole = run(R"(
    func.func @f(%x: tensor<2x3xf32>, %w1: tensor<4x3xf32>, %w2: tensor<3x4xf32>, %b: tensor<3xf32>)
        -> (tensor<2x3xf32>, tensor<2x4xf32>) {
      %0 = xfmr.linear %x, %w1 : (tensor<2x3xf32>, tensor<4x3xf32>) -> tensor<2x4xf32>
      %1 = xfmr.linear %0, %w2 bias %b
        : (tensor<2x4xf32>, tensor<3x4xf32>, tensor<3xf32>) -> tensor<2x3xf32>
      return %1, %0 : tensor<2x3xf32>, tensor<2x4xf32>
    })",
                         [&] {
                           GraphCall unsharded = call;
                           for (const char *name : {"w1", "w2", "b"})
                             unsharded.arguments.push_back(call.weights.at(name));
                           return unsharded;
                         }());
  const auto sharded = run(kTwoRanks, call);
  EXPECT_LE(relativeL2(sharded[0], whole[0]), 1e-14);
  EXPECT_EQ(relativeL2(sharded[1], whole[1]), 0);
}

TEST(Ranks, AMissingCollectiveIsAnError) {
  const std::string text = replaced(kTwoRanks, "return %2,", "return %1,");
  EXPECT_EQ(runGraph(text, kExact, rankCall()).status().message(),
            "result 0 differs between ranks: the graph lacks a collective");
}

TEST(Ranks, DisagreementIsAnError) {
  const std::string text =
      replaced(kTwoRanks, "all_reduce %1 {ranks = 2", "all_reduce %1 {ranks = 4");
  EXPECT_THAT(runGraph(text, kExact, rankCall()).status().message(),
              HasSubstr("speaks of 4 ranks, an op before it of 2"));
}

TEST(Ranks, AllReduceAddRmsNormAddsTheResidualOnce) {
  GraphCall call = rankCall();
  call.arguments.push_back(randomTensor({2, 3}, 5));
  call.arguments.push_back(randomTensor({3}, 6));
  std::string text = replaced(kTwoRanks, "%x: tensor<2x3xf32>)",
                              "%x: tensor<2x3xf32>, %r: tensor<2x3xf32>, %g: tensor<3xf32>)");
  text = replaced(text, "tensor<2x4xf32>) {", "tensor<2x3xf32>) {");
  text = replaced(text, "return %2, %3 : tensor<2x3xf32>, tensor<2x4xf32>",
                  "return %4, %5 : tensor<2x3xf32>, tensor<2x3xf32>");
  const std::string parts =
      replaced(text, "%3 = xfmr.all_gather", R"(%4 = xfmr.add %2, %r : tensor<2x3xf32>
      %5 = xfmr.rms_norm %4, %g {eps = 0.5 : f32} : (tensor<2x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
      %3 = xfmr.all_gather)");
  const std::string fused =
      replaced(text, "%2 = xfmr.all_reduce %1 {ranks = 2 : i64} : tensor<2x3xf32>",
               R"(%4, %5 = xfmr.all_reduce_add_rms_norm %1, %r, %g
        {eps = 0.5 : f32, ranks = 2 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>, tensor<3xf32>)
          -> (tensor<2x3xf32>, tensor<2x3xf32>))");
  const auto a = run(parts, call), b = run(fused, call);
  EXPECT_EQ(relativeL2(b[0], a[0]), 0);
  EXPECT_EQ(relativeL2(b[1], a[1]), 0);
}

TEST(Ranks, VocabParallelEmbedding) {
  GraphCall call;
  call.arguments = {Tensor({3}, {3, 0, 2})};
  call.weights = {{"e", Tensor({4, 1}, {10, 11, 12, 13})}};
  call.batch = oneSequence(3, 4);
  const auto y = run(R"(
    xfmr.weight @e : tensor<2x1xf32> from [#xfmr.source<"e", 0, 4, rows, 2>]
    func.func @f(%t: tensor<3xi32>) -> tensor<3x1xf32> {
      %e = xfmr.get_weight @e : tensor<2x1xf32>
      %0 = xfmr.embedding %t, %e {vocab_parallel = 2 : i64}
        : (tensor<3xi32>, tensor<2x1xf32>) -> tensor<3x1xf32>
      %1 = xfmr.all_reduce %0 {ranks = 2 : i64} : tensor<3x1xf32>
      return %1 : tensor<3x1xf32>
    })",
                     call);
  EXPECT_THAT(y[0].data, ElementsAre(13, 10, 12));
}

//===----------------------------------------------------------------------===//
// Batches
//===----------------------------------------------------------------------===//

TEST(PageLayout, GivesPagesAsTheyAreNeeded) {
  PageLayout layout(2, 4);
  const size_t a = layout.addSequence(), b = layout.addSequence();
  auto batch = layout.step({{a, {1, 2, 3}}, {b, {4}}}, RowChoice::Last);
  ASSERT_TRUE(batch.isOk());
  EXPECT_THAT(batch->positions, ElementsAre(0, 1, 2, 0));
  EXPECT_THAT(batch->slots, ElementsAre(0, 1, 2, 4));
  EXPECT_THAT(batch->blockTable, ElementsAre(0, 1, 2, -1));
  EXPECT_THAT(batch->rows, ElementsAre(2, 3));
  EXPECT_TRUE(validateBatch(*batch, 4, 2).isOk());
  batch = layout.step({{a, {5}}}, RowChoice::All);
  ASSERT_TRUE(batch.isOk());
  EXPECT_THAT(batch->positions, ElementsAre(3));
  EXPECT_THAT(batch->slots, ElementsAre(3));
  EXPECT_THAT(batch->ctx, ElementsAre(4));
  EXPECT_EQ(layout.step({{a, {5, 6, 7}}}, RowChoice::Last).status().code(),
            StatusCode::ResourceExhausted);
}

TEST(PageLayout, OrderShufflesThePages) {
  PageLayout layout(1, 64, 7), again(1, 64, 7), other(1, 64, 8);
  const std::vector<int32_t> tokens(64, 0);
  std::vector<std::vector<int32_t>> tables;
  for (PageLayout *each : {&layout, &again, &other}) {
    const size_t sequence = each->addSequence();
    tables.push_back(each->step({{sequence, tokens}}, RowChoice::Last)->blockTable);
  }
  EXPECT_EQ(tables[0], tables[1]);
  EXPECT_NE(tables[0], tables[2]);
  EXPECT_FALSE(std::is_sorted(tables[0].begin(), tables[0].end()));
}

TEST(Batches, MistakesAreNamed) {
  const auto message = [](const std::function<void(Batch &)> &spoil) {
    Batch batch = oneSequence(3, 2);
    spoil(batch);
    return validateBatch(batch, 4, 2).message();
  };
  EXPECT_EQ(message([](Batch &) {}), "");
  EXPECT_EQ(message([](Batch &b) { b.positions[2] = 3; }),
            "batch: positions[2] = 3: sequence 0 has 3 positions");
  EXPECT_EQ(message([](Batch &b) { b.blockTable[1] = -1; }),
            "batch: ctx[0] = 3: page 1 is not in the table");
  EXPECT_EQ(message([](Batch &b) { b.blockTable[1] = 4; }),
            "batch: block_table[1] = 4: must be in [-1, 4)");
  EXPECT_EQ(message([](Batch &b) { b.slots[0] = 8; }), "batch: slots[0] = 8: must be in [-1, 8)");
  EXPECT_EQ(message([](Batch &b) { b.rows = {3}; }), "batch: rows[0] = 3: must be in [0, 3)");
  EXPECT_EQ(message([](Batch &b) { b.cuQ[1] = 4; }),
            "batch: cu_q must rise from 0 over 1 sequences to at most 3 tokens");
  EXPECT_EQ(message([](Batch &b) { b.slots.pop_back(); }), "batch: 3 tokens, 3 positions, 2 slots");
}

} // namespace
