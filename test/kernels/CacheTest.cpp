//===- CacheTest.cpp - rope, kv_write, qk_norm_rope_write -----------------===//
#include "Machine.h"
#include "ModuleText.h"

#include "gtest/gtest.h"

#include <cmath>
#include <functional>

using namespace sinter;
using namespace sinter::test;

namespace {

constexpr DType F = DType::F32, B = DType::BF16, H = DType::F16;
constexpr int64_t kTokens = 6, kPages = 3, kPositions = 50;
constexpr double kEps = 1e-6;

size_t n(int64_t v) { return static_cast<size_t>(v); }

struct Case {
  int64_t queries, heads, dim, page;
  DType type, cache;
  bool norm, scaled;
};
void PrintTo(const Case &c, std::ostream *os) {
  *os << c.queries << "/" << c.heads << "x" << c.dim << " page " << c.page << " " << name(c.type)
      << " into " << name(c.cache) << (c.norm ? " norm" : "") << (c.scaled ? " scaled" : "");
}

class CacheTest : public testing::TestWithParam<Case> {
protected:
  const Case c = GetParam();
  const int64_t columns = (c.queries + 2 * c.heads) * c.dim;
  const std::vector<double> qkv = randomValues(n(kTokens * columns), 1, c.type),
                            qGamma = randomValues(n(c.dim), 2, F),
                            kGamma = randomValues(n(c.dim), 3, F),
                            table = randomValues(n(kPositions * c.dim), 4, F);
  const double kScale = c.scaled ? 8 : 1;
  // Two of them write nothing; one page is not in order.
  const std::vector<int32_t> positions = {0, 1, 2, 40, 41, 49};
  const std::vector<int32_t> slots = {
      int32_t(2 * c.page), int32_t(2 * c.page + 1), -1, int32_t(c.page - 1), 5, -1};
  const int64_t layer = 1, streamElements = c.heads * c.page * c.dim;

  int64_t layerBytes() const { return 2 * streamElements * int64_t(dtypeBytes(c.cache)); }
  std::string kvType() const {
    return "!xfmr.kv<" + str(c.heads) + ", " + str(c.page) + ", " + str(c.dim) + ", " +
           name(c.cache) + ", k_packed>";
  }

  /// Element (head, offset, d) of the K or V stream of our layer in a page.
  double cached(const Machine &m, bool isValue, int64_t slot, int64_t head, int64_t d) const {
    const uint8_t *stream = m.kv.data() + slot / c.page * 2 * layerBytes() + layer * layerBytes() +
                            (isValue ? layerBytes() / 2 : 0);
    const int64_t x = c.cache == B ? 2 : 1, offset = slot % c.page;
    const int64_t inHead = isValue ? offset * c.dim + d : (d / x * c.page + offset) * x + d % x;
    return get(stream, c.cache, n(head * c.page * c.dim + inHead));
  }

  std::vector<double> head(int64_t token, int64_t index) const {
    auto first = qkv.begin() + token * columns + index * c.dim;
    return {first, first + c.dim};
  }
  std::vector<double> normed(std::vector<double> v, const std::vector<double> &gamma) const {
    double squares = 0;
    for (double x : v)
      squares += x * x;
    for (size_t i = 0; i < v.size(); ++i)
      v[i] *= gamma[i] / std::sqrt(squares / double(v.size()) + kEps);
    return v;
  }
  std::vector<double> rotated(const std::vector<double> &v, int64_t position) const {
    const double *angles = table.data() + position * c.dim;
    const size_t half = n(c.dim / 2);
    std::vector<double> y(v.size());
    for (size_t i = 0; i < half; ++i) {
      y[i] = v[i] * angles[i] - v[i + half] * angles[i + half];
      y[i + half] = v[i + half] * angles[i] + v[i] * angles[i + half];
    }
    return y;
  }

  void expectClose(const std::vector<double> &got, std::vector<double> want, DType type) const {
    for (double &v : want)
      v = rounded(v, type);
    EXPECT_LE(relativeL2(got, want), bound(type));
  }

  /// Compares the pool with what K and V should be; every other byte must be as it was.
  void expectCache(const Machine &m,
                   const std::function<std::vector<double>(int64_t, int64_t)> &key) {
    std::vector<double> gotK, wantK, gotV, wantV;
    for (int64_t t = 0; t < kTokens; ++t) {
      if (slots[n(t)] < 0)
        continue;
      for (int64_t h = 0; h < c.heads; ++h) {
        auto k = key(t, h), v = head(t, c.queries + c.heads + h);
        for (int64_t d = 0; d < c.dim; ++d) {
          gotK.push_back(cached(m, false, slots[n(t)], h, d));
          wantK.push_back(k[n(d)] / kScale);
          gotV.push_back(cached(m, true, slots[n(t)], h, d));
          wantV.push_back(rounded(v[n(d)], c.cache));
        }
      }
    }
    expectClose(gotK, wantK, c.cache);
    EXPECT_EQ(gotV, wantV);
    int64_t touched = 0;
    for (size_t i = 0; i < m.kv.size() / dtypeBytes(c.cache); ++i)
      touched += !std::isnan(get(m.kv.data(), c.cache, i));
    EXPECT_EQ(touched, 4 * 2 * c.heads * c.dim) << "elements of slots that are not this step's";
  }

  void prepare(Machine &m) const {
    m.oneSequence(kTokens);
    m.positions = positions;
    m.slots = slots;
    m.pageBytes = n(2 * layerBytes());
    m.kv = Buffer(n(kPages) * m.pageBytes);
  }
  void addWeights(ModuleText &m) const {
    m.vector("qg", c.dim);
    m.vector("kg", c.dim);
    m.weight("s", "tensor<1xf32>", "#xfmr.k_scale<\"k\", " + str(c.dim) + ">", "plain");
    std::string frequencies;
    for (int64_t i = 0; i < c.dim / 2; ++i)
      frequencies += (i ? ", " : "") + std::string("1.0");
    m.weight("t", "tensor<" + str(kPositions) + "x" + str(c.dim) + "xf32>",
             "#xfmr.rope_table<1.0, [" + frequencies + "]>", "plain");
    m.argument("%batch: !xfmr.batch");
    m.argument("%kv0: " + kvType());
    m.argument("%kv1: " + kvType());
  }
  std::vector<Buffer> weightBuffers() const {
    return {packPlain(qGamma), packPlain(kGamma), packPlain({kScale}), packPlain(table)};
  }
};

TEST_P(CacheTest, QkNormRopeWrite) {
  ModuleText m(kTokens);
  const int64_t x = m.input("x", {columns}, c.type), q = m.output(c.queries * c.dim, c.type);
  addWeights(m);
  const std::string d = "tensor<" + str(c.dim) + "xf32>";
  m.body = "%q, %kv = xfmr.qk_norm_rope_write %x, %kv1, %t, %batch" +
           std::string(c.norm ? " norm %qg, %kg" : "") + (c.scaled ? " k_scale %s" : "") + " {" +
           m.buffers({q}) + ", eps = 1.0e-6 : f32} : (" + perToken({columns}, c.type) + ", " +
           kvType() + ", tensor<" + str(kPositions) + "x" + str(c.dim) + "xf32>, !xfmr.batch" +
           (c.norm ? ", " + d + ", " + d : "") + (c.scaled ? ", tensor<1xf32>" : "") + ") -> (" +
           perToken({c.queries, c.dim}, c.type) + ", " + kvType() + ")";
  m.returned = "%kv0, %kv";
  m.returnedTypes = kvType() + ", " + kvType();
  auto jit = Jit::compile(m.text());
  ASSERT_TRUE(jit) << m.text();
  for (CpuIsa isa : machineIsas()) {
    for (Split split : {Split::Whole, Split::Backwards, Split::Threads}) {
      Machine machine(*jit);
      prepare(machine);
      machine.weights = weightBuffers();
      machine.fill(x, qkv, c.type);
      machine.run(isa, split);
      ASSERT_TRUE(machine.guardsIntact());
      std::vector<double> want;
      for (int64_t t = 0; t < kTokens; ++t) {
        for (int64_t h = 0; h < c.queries; ++h) {
          auto v = rotated(c.norm ? normed(head(t, h), qGamma) : head(t, h), positions[n(t)]);
          want.insert(want.end(), v.begin(), v.end());
        }
      }
      expectClose(machine.read(q, want.size(), c.type), want, c.type);
      expectCache(machine, [&](int64_t t, int64_t h) {
        auto k = head(t, c.queries + h);
        return rotated(c.norm ? normed(k, kGamma) : k, positions[n(t)]);
      });
    }
  }
}

TEST_P(CacheTest, UnfusedRopeAndWrite) {
  ModuleText m(kTokens);
  const int64_t q = m.input("q", {c.queries, c.dim}, c.type),
                k = m.input("k", {c.heads, c.dim}, c.type),
                v = m.input("v", {c.heads, c.dim}, c.type);
  addWeights(m);
  const std::string t =
      ", tensor<" + str(kPositions) + "x" + str(c.dim) + "xf32>, !xfmr.batch) -> ";
  const std::string heads = perToken({c.heads, c.dim}, c.type);
  m.body = "%r = xfmr.rope %q, %t, %batch {" + m.buffers({q}) + "} : (" +
           perToken({c.queries, c.dim}, c.type) + t + perToken({c.queries, c.dim}, c.type) + "\n" +
           "%kv = xfmr.kv_write %kv1, %k, %v, %batch" + (c.scaled ? " k_scale %s" : "") + " : (" +
           kvType() + ", " + heads + ", " + heads + ", !xfmr.batch" +
           (c.scaled ? ", tensor<1xf32>" : "") + ") -> " + kvType();
  m.returned = "%kv0, %kv";
  m.returnedTypes = kvType() + ", " + kvType();
  auto jit = Jit::compile(m.text());
  ASSERT_TRUE(jit) << m.text();
  std::vector<double> qs, ks, vs, want;
  for (int64_t token = 0; token < kTokens; ++token) {
    for (int64_t h = 0; h < c.queries + 2 * c.heads; ++h) {
      auto values = head(token, h);
      auto &part = h < c.queries ? qs : h < c.queries + c.heads ? ks : vs;
      part.insert(part.end(), values.begin(), values.end());
      if (h >= c.queries)
        continue;
      auto r = rotated(values, positions[n(token)]);
      want.insert(want.end(), r.begin(), r.end());
    }
  }
  for (CpuIsa isa : machineIsas()) {
    Machine machine(*jit);
    prepare(machine);
    machine.weights = weightBuffers();
    machine.fill(q, qs, c.type);
    machine.fill(k, ks, c.type);
    machine.fill(v, vs, c.type);
    machine.run(isa, Split::OneByOne);
    ASSERT_TRUE(machine.guardsIntact());
    expectClose(machine.read(q, want.size(), c.type), want, c.type);
    expectCache(machine, [&](int64_t token, int64_t h) { return head(token, c.queries + h); });
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, CacheTest,
    testing::Values(Case{4, 2, 128, 16, B, B, true, true}, Case{3, 1, 80, 16, B, H, true, false},
                    Case{5, 5, 64, 32, F, F, false, true}, Case{2, 2, 96, 16, H, B, true, true},
                    Case{8, 1, 6, 32, F, B, true, false}, Case{1, 1, 40, 16, B, F, false, false}));

} // namespace
