//===- AttentionTest.cpp - paged attention against f64 loops --------------===//
#include "Machine.h"
#include "ModuleText.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>

using namespace sinter;
using namespace sinter::test;

namespace {

constexpr DType F = DType::F32, B = DType::BF16, H = DType::F16;

size_t n(int64_t v) { return static_cast<size_t>(v); }

struct Case {
  int64_t queries, heads, dim, page;
  DType type, cache;
  bool scaled;
  std::vector<std::pair<int64_t, int64_t>> sequences; ///< context, query tokens at its end
  int64_t maxTokens = 64;
  int64_t window = 0;
};
void PrintTo(const Case &c, std::ostream *os) {
  *os << c.queries << "/" << c.heads << "x" << c.dim << " page " << c.page << " " << name(c.type)
      << " over " << name(c.cache) << ", " << c.sequences.size() << " sequences";
  if (c.window)
    *os << ", window " << c.window;
}

/// Sequences in a shuffled page table, with the values they hold. Pages that nobody sees any more
/// are gone.
struct Batch {
  const Case &c;
  double kScale, scale;
  int64_t tokens = 0, pagesPerSequence = 0, pages = 0;
  std::vector<int32_t> table;            ///< [sequence][page]
  std::vector<std::vector<double>> k, v; ///< per sequence [position][head][dim], as stored
  std::vector<double> q;
  bool roundedWeights = false, roundedOutputs = true; ///< what is expected

  explicit Batch(const Case &c)
      : c(c), kScale(c.scaled ? 4 : 1), scale(1 / std::sqrt(double(c.dim))) {
    for (auto [context, count] : c.sequences) {
      tokens += count;
      pagesPerSequence = std::max(pagesPerSequence, (context + c.page - 1) / c.page);
    }
    pages = pagesPerSequence * int64_t(c.sequences.size()) + 1;
    std::vector<int32_t> ids(n(pages));
    std::iota(ids.begin(), ids.end(), 0);
    std::shuffle(ids.begin(), ids.end(), std::mt19937(5));
    unsigned seed = 20;
    for (auto [context, count] : c.sequences) {
      for (int64_t p = 0; p < pagesPerSequence; ++p)
        table.push_back(p * c.page < context && (p + 1) * c.page > hidden(context - count)
                            ? ids[table.size()]
                            : -1);
      k.push_back(randomValues(n(context * c.heads * c.dim), seed++, c.cache, 1 / kScale));
      v.push_back(randomValues(n(context * c.heads * c.dim), seed++, c.cache));
    }
    q = randomValues(n(tokens * c.queries * c.dim), 3, c.type, 1.5);
  }

  /// Positions before those that a token at `position` sees.
  int64_t hidden(int64_t position) const {
    return c.window ? std::max<int64_t>(0, position + 1 - c.window) : 0;
  }

  size_t streamElements() const { return n(c.heads * c.page * c.dim); }
  size_t pageBytes() const { return 2 * streamElements() * dtypeBytes(c.cache); }

  /// Slots that hold no position of a sequence stay poison.
  Buffer pool() const {
    Buffer pool(n(pages) * pageBytes());
    const int64_t x = c.cache == B ? 2 : 1;
    for (size_t s = 0; s < c.sequences.size(); ++s) {
      for (int64_t pos = 0; pos < c.sequences[s].first; ++pos) {
        const int32_t page = table[s * n(pagesPerSequence) + n(pos / c.page)];
        if (page < 0)
          continue;
        uint8_t *keys = pool.data() + n(page) * pageBytes(), *values = keys + pageBytes() / 2;
        const int64_t offset = pos % c.page;
        for (int64_t h = 0; h < c.heads; ++h) {
          for (int64_t d = 0; d < c.dim; ++d) {
            const int64_t head = h * c.page * c.dim, from = (pos * c.heads + h) * c.dim + d;
            put(keys, c.cache, n(head + (d / x * c.page + offset) * x + d % x), k[s][n(from)]);
            put(values, c.cache, n(head + offset * c.dim + d), v[s][n(from)]);
          }
        }
      }
    }
    return pool;
  }

  /// Attention of one query row over positions [first, end).
  std::vector<double> row(size_t s, int64_t token, int64_t head, int64_t first, int64_t end,
                          int64_t kvHead) const {
    const double *query = q.data() + (token * c.queries + head) * c.dim;
    std::vector<double> scores(n(end - first)), out(n(c.dim));
    for (int64_t p = first; p < end; ++p) {
      const double *key = k[s].data() + (p * c.heads + kvHead) * c.dim;
      scores[n(p - first)] = std::inner_product(query, query + c.dim, key, 0.0) * scale * kScale;
    }
    const double top = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double &score : scores)
      sum += score = std::exp(score - top);
    if (roundedWeights)
      roundWeights(scores, first);
    for (int64_t p = first; p < end; ++p)
      for (int64_t d = 0; d < c.dim; ++d)
        out[n(d)] += scores[n(p - first)] / sum * v[s][n((p * c.heads + kvHead) * c.dim + d)];
    return out;
  }

  /// To bf16 relative to the largest of each 512 positions.
  static void roundWeights(std::vector<double> &weights, int64_t first) {
    for (size_t begin = 0; begin < weights.size();) {
      const size_t end =
          std::min(weights.size(), n((n(first) + begin) / 512 * 512 + 512 - n(first)));
      const double top = *std::max_element(&weights[begin], &weights[end]);
      for (; begin < end; ++begin)
        weights[begin] = rounded(weights[begin] / top, B) * top;
    }
  }

  /// Defects, to show that the comparison notices: where what a row sees ends or begins is shifted.
  std::vector<double> expected(int64_t defect = 0, bool interleavedHeads = false,
                               int64_t beginDefect = 0) const {
    std::vector<double> want;
    int64_t token = 0;
    for (size_t s = 0; s < c.sequences.size(); ++s) {
      auto [context, count] = c.sequences[s];
      for (int64_t i = 0; i < count; ++i, ++token) {
        for (int64_t h = 0; h < c.queries; ++h) {
          const int64_t kvHead = interleavedHeads ? h % c.heads : h / (c.queries / c.heads);
          const int64_t visible = std::max<int64_t>(1, context - count + i + 1 - defect);
          const int64_t first = std::max<int64_t>(0, hidden(context - count + i) - beginDefect);
          for (double x : row(s, token, h, std::min(first, visible - 1), visible, kvHead))
            want.push_back(roundedOutputs ? rounded(x, c.type) : x);
        }
      }
    }
    return want;
  }

  /// `maxTokens`: what the machine's arena has room for.
  void fill(Machine &m, int64_t maxTokens = INT64_MAX) const {
    m.numTokens = uint32_t(tokens);
    m.cuQ = {0};
    m.positions.clear(), m.contexts.clear();
    for (auto [context, count] : c.sequences) {
      m.cuQ.push_back(m.cuQ.back() + int32_t(count));
      m.contexts.push_back(int32_t(context));
      for (int64_t i = 0; i < count; ++i)
        m.positions.push_back(int32_t(context - count + i));
    }
    m.blockTable = table;
    m.pageBytes = pageBytes();
    m.kv = pool();
    m.weights = {packPlain({kScale}), packPlain({0})}; // no kernel here reads the rope table
    m.fill(0, {q.begin(), q.begin() + std::min(tokens, maxTokens) * c.queries * c.dim}, c.type);
  }
};

std::string scaleText(double scale) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9e", scale);
  return text;
}

struct Compiled {
  std::unique_ptr<Jit> jit;
  int64_t y = 0;
  Compiled(const Case &c, const Batch &batch) {
    ModuleText m(c.maxTokens);
    const std::string kv = "!xfmr.kv<" + str(c.heads) + ", " + str(c.page) + ", " + str(c.dim) +
                           ", " + name(c.cache) + ", k_packed>";
    m.input("q", {c.queries, c.dim}, c.type);
    y = m.output(c.queries * c.dim, c.type);
    m.argument("%batch: !xfmr.batch");
    m.argument("%kv: " + kv);
    m.weight("s", "tensor<1xf32>", "#xfmr.k_scale<\"k\", " + str(c.dim) + ">", "plain");
    m.weight("rope", "tensor<2048x2xf32>", "#xfmr.rope_table<1.0, [1.0]>", "plain");
    const std::string q = perToken({c.queries, c.dim}, c.type);
    m.body = "%y = xfmr.attention %q, %kv, %batch" + std::string(c.scaled ? " k_scale %s" : "") +
             " {" + m.buffers({y}) + ", scale = " + scaleText(batch.scale) + " : f32" +
             (c.window ? ", window = " + str(c.window) + " : i32" : "") + "} : (" + q + ", " + kv +
             ", !xfmr.batch" + (c.scaled ? ", tensor<1xf32>" : "") + ") -> " + q;
    m.returned = "%kv";
    m.returnedTypes = kv;
    jit = Jit::compile(m.text());
  }
};

class AttentionTest : public testing::TestWithParam<Case> {};

/// Whether P V is made of pairs of bf16.
bool roundsWeights(const Case &c, CpuIsa isa) {
  return isa == CpuIsa::V4Bf16 && c.type == B && c.cache == B && c.dim % 32 == 0;
}

TEST_P(AttentionTest, EqualsF64) {
  const Case &c = GetParam();
  const Batch batch(c);
  Compiled compiled(c, batch);
  ASSERT_TRUE(compiled.jit);
  const size_t size = n(batch.tokens * c.queries * c.dim);
  std::vector<double> first, ofPairs; // pairs of bf16 have bits of their own
  for (CpuIsa isa : machineIsas()) {
    const bool pairs = isa == CpuIsa::V4Bf16 && c.type == B && c.cache == B;
    std::vector<double> &same = pairs ? ofPairs : first;
    for (Split split : {Split::Whole, Split::Backwards, Split::Threads}) {
      Machine m(*compiled.jit);
      batch.fill(m);
      m.run(isa, split);
      ASSERT_TRUE(m.guardsIntact());
      auto got = m.read(compiled.y, size, c.type);
      // exp and the softmax sum add to the error of an f32 dot product.
      Batch declared = batch;
      declared.roundedWeights = roundsWeights(c, isa);
      EXPECT_LE(relativeL2(got, declared.expected()), bound(c.type));
      if (same.empty())
        same = got;
      EXPECT_EQ(got, same) << "other bits, isa " << int(isa);
    }
  }
  // The comparison must notice a mask that is one off and a wrong map of heads.
  EXPECT_GT(relativeL2(first, batch.expected(1)), bound(c.type));
  if (c.heads > 1 && c.queries > c.heads) {
    EXPECT_GT(relativeL2(first, batch.expected(0, true)), bound(c.type));
  }
  if (batch.expected(0, false, 1) != batch.expected()) {
    EXPECT_GT(relativeL2(first, batch.expected(0, false, 1)), bound(c.type));
  }
}

/// Rounding P costs what rounding the result does: within the 1.5 times of one rounding that an op
/// may cost.
TEST_P(AttentionTest, PairsOfBf16StayNearExact) {
  const Case &c = GetParam();
  if (!hasIsa(CpuIsa::V4Bf16) || !roundsWeights(c, CpuIsa::V4Bf16))
    return;
  const Batch batch(c);
  Compiled compiled(c, batch);
  ASSERT_TRUE(compiled.jit);
  Machine m(*compiled.jit);
  batch.fill(m);
  m.run(CpuIsa::V4Bf16, Split::Whole);
  Batch unrounded = batch;
  unrounded.roundedOutputs = false;
  const std::vector<double> exact = unrounded.expected();
  const auto got = m.read(compiled.y, exact.size(), c.type);
  EXPECT_LE(relativeL2(got, exact), 1.5 * relativeL2(batch.expected(), exact));
}

std::vector<std::pair<CpuIsa, Split>> waysToRun() {
  std::vector<std::pair<CpuIsa, Split>> ways;
  for (CpuIsa isa : machineIsas())
    for (Split split : {Split::Whole, Split::Backwards, Split::Threads})
      ways.push_back({isa, split});
  return ways;
}

/// Runs tokens alone, in steps for up to `maxTokens`, and compares with `compiled` on all of them.
void expectSameAlone(const Case &c, const Batch &batch, const Compiled &compiled,
                     int64_t maxTokens) {
  Case decode = c;
  decode.maxTokens = maxTokens;
  const Batch same(decode);
  Compiled small(decode, same);
  ASSERT_TRUE(small.jit);
  const size_t launches = maxTokens == 1 ? 2 : 1; // every case has few kv heads
  ASSERT_EQ(small.jit->program.entries[0].ops.size(), launches);
  const size_t rowSize = n(c.queries * c.dim), rowBytes = rowSize * dtypeBytes(c.type);
  for (auto [isa, split] : waysToRun()) {
    Machine whole(*compiled.jit);
    batch.fill(whole);
    whole.run(isa);
    int64_t token = 0;
    for (size_t s = 0; s < c.sequences.size(); ++s) {
      auto [context, count] = c.sequences[s];
      for (int64_t i = 0; i < count; i += std::max<int64_t>(1, count / 3)) {
        Machine one(*small.jit);
        batch.fill(one, decode.maxTokens);
        one.numTokens = 1;
        one.cuQ = {0, 1};
        one.positions = {int32_t(context - count + i)};
        one.contexts = {int32_t(context - count + i + 1)};
        one.blockTable.assign(batch.table.begin() + ptrdiff_t(s * n(batch.pagesPerSequence)),
                              batch.table.begin() + ptrdiff_t((s + 1) * n(batch.pagesPerSequence)));
        const auto at = batch.q.begin() + (token + i) * int64_t(rowSize);
        one.fill(0, {at, at + int64_t(rowSize)}, c.type);
        one.run(isa, split);
        EXPECT_EQ(0,
                  std::memcmp(one.arena.data() + small.y,
                              whole.arena.data() + compiled.y + n(token + i) * rowBytes, rowBytes))
            << "sequence " << s << " token " << i << " isa " << int(isa);
      }
      token += count;
    }
  }
}

/// The last token of a prefill and the same token decoded alone, where few kv heads make every 512
/// positions a task of their own, or in a step for up to 16 tokens.
TEST_P(AttentionTest, ChunkingDoesNotChangeBits) {
  const Case &c = GetParam();
  const Batch batch(c);
  Compiled compiled(c, batch);
  ASSERT_TRUE(compiled.jit);
  for (int64_t maxTokens : {1, 16})
    expectSameAlone(c, batch, compiled, maxTokens);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    testing::Values(Case{4, 2, 128, 16, B, B, true, {{1, 1}, {37, 37}, {130, 1}, {48, 5}}},
                    Case{3, 1, 80, 16, F, F, false, {{20, 20}, {16, 3}}},
                    Case{5, 1, 64, 32, B, B, true, {{100, 30}, {33, 1}}},
                    Case{8, 1, 96, 16, H, H, false, {{40, 25}}},
                    Case{16, 1, 32, 16, F, B, true, {{19, 19}}},
                    Case{2, 2, 6, 64, F, H, true, {{50, 9}, {3, 3}}},
                    Case{2, 1, 40, 16, B, F, false, {{65, 17}}},
                    // Beyond one chunk of 512, at its edges, and rows on both sides of one.
                    Case{4, 2, 64, 16, F, F, true, {{1100, 4}, {512, 1}, {513, 1}, {530, 30}}},
                    Case{2, 1, 128, 16, B, B, false, {{1025, 3}}},
                    Case{6, 3, 80, 32, B, B, true, {{2048, 2}, {1536, 1}}},
                    // More rows than registers, one and three rows, few and many vectors.
                    Case{12, 1, 96, 64, B, B, true, {{70, 9}, {33, 1}}},
                    Case{1, 1, 32, 16, B, B, false, {{19, 1}, {40, 40}}},
                    Case{3, 1, 256, 16, B, B, false, {{77, 20}, {5, 1}}}));

INSTANTIATE_TEST_SUITE_P(
    Windows, AttentionTest,
    testing::Values(
        // Smaller than a page, of a token, no multiple of anything, a page, as much as there is,
        // more.
        Case{4, 2, 128, 16, B, B, true, {{1, 1}, {37, 37}, {130, 1}, {48, 5}}, 64, 7},
        Case{3, 1, 80, 16, F, F, false, {{20, 20}, {16, 3}}, 64, 1},
        Case{5, 1, 64, 32, B, B, true, {{100, 30}, {33, 1}}, 64, 33},
        Case{16, 1, 32, 16, F, B, true, {{19, 19}, {64, 2}}, 64, 16},
        Case{2, 2, 6, 64, F, H, true, {{50, 9}, {3, 3}}, 64, 50},
        Case{8, 1, 96, 16, H, H, false, {{40, 25}}, 64, 100},
        // Across the edges of chunks of 512: rows of a block that begin in other chunks.
        Case{4,
             2,
             64,
             16,
             F,
             F,
             true,
             {{1100, 4}, {512, 1}, {513, 1}, {530, 30}, {1030, 12}},
             64,
             10},
        Case{2, 1, 128, 16, B, B, false, {{1025, 3}, {1540, 7}}, 64, 513},
        Case{6, 3, 80, 32, B, B, true, {{2048, 2}, {1536, 1}, {1030, 9}}, 64, 512}));

TEST(Attention, SequencesWithoutContextGiveZeros) {
  for (const int64_t window : {0, 3}) {
    const Case c{2, 1, 64, 16, F, F, false, {{5, 1}}, 64, window};
    const Batch batch(c);
    Compiled compiled(c, batch);
    ASSERT_TRUE(compiled.jit);
    for (CpuIsa isa : machineIsas()) {
      Machine m(*compiled.jit);
      batch.fill(m);
      m.contexts = {0};
      m.blockTable = {-1};
      m.run(isa);
      EXPECT_EQ(m.read(compiled.y, 128, F), std::vector<double>(128, 0.0));
    }
  }
}

} // namespace
