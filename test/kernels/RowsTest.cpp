//===- RowsTest.cpp - norms, element-wise ops, copies, argmax -------------===//
#include "Machine.h"
#include "ModuleText.h"

#include "gtest/gtest.h"

#include <cmath>
#include <limits>

using namespace sinter;
using namespace sinter::test;

namespace {

constexpr int64_t kTokens = 5;
constexpr DType F = DType::F32, B = DType::BF16, H = DType::F16;

size_t n(int64_t v) { return static_cast<size_t>(v); }

/// Runs for all instruction sets and splits; `check` sees each finished machine.
template <typename Fill, typename Check>
void runAll(const ModuleText &module, const Fill &fill, const Check &check) {
  auto jit = Jit::compile(module.text());
  ASSERT_TRUE(jit) << module.text();
  for (CpuIsa isa : machineIsas()) {
    for (Split split : {Split::Whole, Split::OneByOne, Split::Threads}) {
      Machine m(*jit);
      m.oneSequence(kTokens);
      fill(m);
      m.run(isa, split);
      ASSERT_TRUE(m.guardsIntact());
      check(m);
    }
  }
}

void expectClose(const std::vector<double> &got, const std::vector<double> &want, DType type) {
  std::vector<double> declared(want);
  for (double &v : declared)
    v = rounded(v, type);
  EXPECT_LE(relativeL2(got, declared), bound(type));
}

struct RowCase {
  int64_t size;
  DType type;
};
class RowTest : public testing::TestWithParam<RowCase> {
protected:
  const int64_t k = GetParam().size;
  const DType type = GetParam().type;
  const std::vector<double> a = randomValues(n(kTokens * k), 1, type),
                            b = randomValues(n(kTokens * k), 2, type),
                            g = randomValues(n(k), 3, DType::F32);
};

std::vector<double> normalised(const std::vector<double> &x, const std::vector<double> &g,
                               double eps) {
  const size_t k = g.size();
  std::vector<double> y;
  for (size_t row = 0; row < x.size() / k; ++row) {
    double squares = 0;
    for (size_t i = 0; i < k; ++i)
      squares += x[row * k + i] * x[row * k + i];
    for (size_t i = 0; i < k; ++i)
      y.push_back(x[row * k + i] / std::sqrt(squares / double(k) + eps) * g[i]);
  }
  return y;
}

TEST_P(RowTest, RmsNorm) {
  ModuleText m(kTokens);
  const int64_t x = m.input("x", {k}, type), y = m.output(k, type);
  const std::string t = perToken({k}, type);
  m.vector("g", k);
  m.body = "%y = xfmr.rms_norm %x, %g {" + m.buffers({y}) + ", eps = 1.0e-2 : f32} : (" + t +
           ", tensor<" + str(k) + "xf32>) -> " + t;
  runAll(
      m,
      [&](Machine &machine) {
        machine.weights = {packPlain(g)};
        machine.fill(x, a, type);
      },
      [&](Machine &machine) {
        auto got = machine.read(y, a.size(), type);
        expectClose(got, normalised(a, g, 1e-2), type);
        EXPECT_GT(relativeL2(got, normalised(a, g, 1e-6)), bound(type)) << "eps does not matter";
      });
}

TEST_P(RowTest, RmsNormOfHeadsInPlace) {
  ModuleText m(kTokens);
  const int64_t heads = 3, x = m.input("x", {heads, k}, type);
  const auto values = randomValues(n(kTokens * heads * k), 4, type);
  const std::string t = perToken({heads, k}, type);
  m.vector("g", k);
  m.body = "%y = xfmr.rms_norm %x, %g {" + m.buffers({x}) + ", eps = 1.0e-6 : f32} : (" + t +
           ", tensor<" + str(k) + "xf32>) -> " + t;
  runAll(
      m,
      [&](Machine &machine) {
        machine.weights = {packPlain(g)};
        machine.fill(x, values, type);
      },
      [&](Machine &machine) {
        expectClose(machine.read(x, values.size(), type), normalised(values, g, 1e-6), type);
      });
}

TEST_P(RowTest, AddRmsNorm) {
  ModuleText m(kTokens);
  const int64_t x = m.input("a", {k}, type), other = m.input("b", {k}, type);
  const int64_t y = m.output(k, type);
  const std::string t = perToken({k}, type);
  m.vector("g", k);
  m.body = "%s, %y = xfmr.add_rms_norm %a, %b, %g {" + m.buffers({x, y}) +
           ", eps = 1.0e-6 : f32} : (" + t + ", " + t + ", tensor<" + str(k) + "xf32>) -> (" + t +
           ", " + t + ")";
  std::vector<double> sum(a);
  for (size_t i = 0; i < sum.size(); ++i)
    sum[i] = rounded(sum[i] + b[i], type);
  runAll(
      m,
      [&](Machine &machine) {
        machine.weights = {packPlain(g)};
        machine.fill(x, a, type);
        machine.fill(other, b, type);
      },
      [&](Machine &machine) {
        EXPECT_EQ(machine.read(x, sum.size(), type), sum);
        expectClose(machine.read(y, sum.size(), type), normalised(sum, g, 1e-6), type);
      });
}

TEST_P(RowTest, AddInPlaceIsExact) {
  ModuleText m(kTokens);
  const int64_t x = m.input("a", {k}, type), other = m.input("b", {k}, type);
  m.body = "%y = xfmr.add %a, %b {" + m.buffers({x}) + "} : " + perToken({k}, type);
  runAll(
      m,
      [&](Machine &machine) {
        machine.fill(x, a, type);
        machine.fill(other, b, type);
      },
      [&](Machine &machine) {
        auto got = machine.read(x, a.size(), type);
        for (size_t i = 0; i < got.size(); ++i)
          ASSERT_EQ(got[i], rounded(double(float(a[i]) + float(b[i])), type));
      });
}

TEST_P(RowTest, SwigluOfTwoAndOfOne) {
  auto silu = [](double v) { return v / (1 + std::exp(-v)); };
  ModuleText two(kTokens), one(kTokens);
  const std::string t = perToken({k}, type), t2 = perToken({2 * k}, type);
  const int64_t gate = two.input("g", {k}, type), up = two.input("u", {k}, type);
  const int64_t y = two.output(k, type);
  two.body = "%y = xfmr.swiglu %g, %u {" + two.buffers({y}) + "} : (" + t + ", " + t + ") -> " + t;
  const int64_t both = one.input("g", {2 * k}, type), y1 = one.output(k, type);
  one.body = "%y = xfmr.swiglu %g {" + one.buffers({y1}) + "} : (" + t2 + ") -> " + t;
  std::vector<double> wide = randomValues(n(kTokens * 2 * k), 7, type, 4);
  wide[0] = 80, wide[1] = -80;
  std::vector<double> g2, u2, want;
  for (size_t row = 0; row < kTokens; ++row) {
    for (size_t i = 0; i < n(k); ++i) {
      g2.push_back(wide[row * 2 * n(k) + i]);
      u2.push_back(wide[row * 2 * n(k) + n(k) + i]);
      want.push_back(silu(g2.back()) * u2.back());
    }
  }
  runAll(
      two,
      [&](Machine &m) {
        m.fill(gate, g2, type);
        m.fill(up, u2, type);
      },
      [&](Machine &m) { expectClose(m.read(y, want.size(), type), want, type); });
  runAll(
      one, [&](Machine &m) { m.fill(both, wide, type); },
      [&](Machine &m) { expectClose(m.read(y1, want.size(), type), want, type); });
}

TEST_P(RowTest, SplitHeadsAndSelectRowsAreExact) {
  ModuleText split(kTokens), select(kTokens);
  const int64_t wide = 3 * k + 5;
  const auto values = randomValues(n(kTokens * wide), 9, type);
  const int64_t x = split.input("x", {wide}, type), y = split.output(2 * k, type);
  split.body = "%y = xfmr.split_heads %x {" + split.buffers({y}) + ", offset = 3 : i64} : (" +
               perToken({wide}, type) + ") -> " + perToken({2, k}, type);
  std::vector<double> want;
  for (int64_t t = 0; t < kTokens; ++t)
    want.insert(want.end(), values.begin() + t * wide + 3, values.begin() + t * wide + 3 + 2 * k);
  runAll(
      split, [&](Machine &m) { m.fill(x, values, type); },
      [&](Machine &m) { EXPECT_EQ(m.read(y, want.size(), type), want); });

  const int64_t from = select.input("x", {k}, type), to = select.output(k, type);
  select.argument("%rows: tensor<?xi32>");
  select.body = "%y = xfmr.select_rows %x, %rows {" + select.buffers({to}) + "} : (" +
                perToken({k}, type) + ", tensor<?xi32>) -> " + perToken({k}, type);
  runAll(
      select,
      [&](Machine &m) {
        m.fill(from, a, type);
        m.rows = {4, 0, 4};
      },
      [&](Machine &m) {
        for (size_t r = 0; r < 3; ++r)
          EXPECT_EQ(m.read(to + int64_t(r) * k * int64_t(dtypeBytes(type)), n(k), type),
                    std::vector<double>(a.begin() + (r == 1 ? 0 : 4 * k),
                                        a.begin() + (r == 1 ? k : 5 * k)));
        // Row 3 was not asked for.
        EXPECT_TRUE(std::isnan(m.read(to + 3 * k * int64_t(dtypeBytes(type)), 1, type)[0]));
      });
}

/// silu(g) * 1 shows exp alone: each value within a few units in the last place.
TEST(Exp, IsPreciseEverywhere) {
  constexpr int64_t size = 4000;
  ModuleText m(kTokens);
  const std::string t = perToken({size}, F);
  const int64_t gate = m.input("g", {size}, F), up = m.input("u", {size}, F), y = m.output(size, F);
  m.body = "%y = xfmr.swiglu %g, %u {" + m.buffers({y}) + "} : (" + t + ", " + t + ") -> " + t;
  std::vector<double> g;
  for (int64_t i = 0; i < kTokens * size; ++i)
    g.push_back(double(float(-87.0 + 174.0 * double(i) / (kTokens * size))));
  runAll(
      m,
      [&](Machine &machine) {
        machine.fill(gate, g, F);
        machine.fill(up, std::vector<double>(g.size(), 1.0), F);
      },
      [&](Machine &machine) {
        auto got = machine.read(y, g.size(), F);
        for (size_t i = 0; i < g.size(); ++i) {
          const double want = g[i] / (1 + std::exp(-g[i]));
          // exp 2 ulp, then an addition and a division.
          ASSERT_NEAR(got[i], want, std::fabs(want) * 4 * 0x1p-24) << "silu of " << g[i];
        }
      });
}

TEST(Rounding, KeepsNaNAndInfinity) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (DType type : {B, H, F}) {
    ModuleText m(kTokens);
    const int64_t a = m.input("a", {4}, type), b = m.input("b", {4}, type), y = m.output(4, type);
    m.body = "%y = xfmr.add %a, %b {" + m.buffers({y}) + "} : " + perToken({4}, type);
    const double most = type == H ? 65504 : 0x1.fep127;
    runAll(
        m,
        [&](Machine &machine) {
          for (int64_t t = 0; t < kTokens; ++t) {
            machine.fill(a + t * 4 * int64_t(dtypeBytes(type)), {nan, INFINITY, -INFINITY, most},
                         type);
            machine.fill(b + t * 4 * int64_t(dtypeBytes(type)), {1, 1, 1, most}, type);
          }
        },
        [&](Machine &machine) {
          auto got = machine.read(y, 4, type);
          EXPECT_TRUE(std::isnan(got[0]));
          EXPECT_EQ(got[1], INFINITY);
          EXPECT_EQ(got[2], -INFINITY);
          EXPECT_EQ(got[3], INFINITY);
        });
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, RowTest,
                         testing::Values(RowCase{1, F}, RowCase{15, B}, RowCase{16, H},
                                         RowCase{33, B}, RowCase{63, F}, RowCase{64, B},
                                         RowCase{65, H}, RowCase{150, B}, RowCase{1024, B}),
                         [](const auto &p) {
                           return name(p.param.type) + "_" + str(p.param.size);
                         });

TEST(Embedding, GathersRowsOfTiledTables) {
  struct Shape {
    std::vector<int64_t> sources;
    int64_t k;
    DType table, y;
  };
  for (const Shape &s : {Shape{{50}, 33, B, B}, Shape{{20, 21}, 16, B, F}, Shape{{40}, 7, F, B},
                         Shape{{17, 1, 30}, 64, H, H}}) {
    int64_t rows = 0;
    std::string init;
    for (int64_t r : s.sources) {
      init += (rows ? ", " : "[") + std::string("#xfmr.source<\"e\", 0, ") + str(r) + ">";
      rows += r;
    }
    ModuleText m(kTokens);
    const std::string t = "tensor<" + str(rows) + "x" + str(s.k) + "x" + name(s.table) + ">";
    m.argument("%tokens: tensor<?xi32>");
    m.weight("e", t, init + "]", "tiled16");
    const int64_t y = m.output(s.k, s.y);
    m.body = "%y = xfmr.embedding %tokens, %e {" + m.buffers({y}) + "} : (tensor<?xi32>, " + t +
             ") -> " + perToken({s.k}, s.y);
    const auto table = randomValues(n(rows * s.k), 11, s.table);
    const std::vector<int32_t> tokens = {0, 19, int32_t(rows - 1), 20, 16};
    runAll(
        m,
        [&](Machine &machine) {
          machine.weights = {packTiled(table, s.sources, s.k, s.table)};
          machine.tokens = tokens;
        },
        [&](Machine &machine) {
          for (size_t t = 0; t < tokens.size(); ++t) {
            auto got = machine.read(y + int64_t(t) * s.k * int64_t(dtypeBytes(s.y)), n(s.k), s.y);
            for (size_t i = 0; i < n(s.k); ++i)
              ASSERT_EQ(got[i], rounded(table[n(tokens[t]) * n(s.k) + i], s.y));
          }
        });
  }
}

/// Ties go to the lowest index, NaN beats numbers, the first NaN wins: alone and behind a linear.
TEST(Argmax, TiesAndNaN) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = INFINITY;
  for (int64_t v : {1, 15, 40, 100}) {
    auto row = [&](double rest, std::vector<std::pair<int64_t, double>> set) {
      std::vector<double> values(n(v), rest);
      for (auto [i, x] : set)
        if (i < v)
          values[n(i)] = x;
      return values;
    };
    const std::vector<std::vector<double>> rows = {
        row(0, {}), row(-inf, {}), row(-1, {{37, 5}, {13, 5}, {14, 5}}),
        row(1, {{33, nan}, {12, inf}, {38, nan}}), row(-inf, {{9, -1e30}})};
    ModuleText m(kTokens);
    const int64_t x = m.input("x", {v}, B), value = m.output(1, F), index = m.output(1, F);
    m.body = "%v, %i = xfmr.argmax %x {" + m.buffers({value, index}) + "} : (" + perToken({v}, B) +
             ") -> (tensor<?xf32>, tensor<?xi32>)";
    runAll(
        m,
        [&](Machine &machine) {
          for (size_t t = 0; t < kTokens; ++t)
            machine.fill(x + int64_t(t) * v * 2, rows[t], B);
        },
        [&](Machine &machine) {
          for (size_t t = 0; t < kTokens; ++t) {
            size_t want = 0;
            for (size_t i = 1; i < rows[t].size(); ++i)
              if (!std::isnan(rows[t][want]) && !(rows[t][i] <= rows[t][want]))
                want = i;
            int32_t got;
            std::memcpy(&got, machine.arena.data() + index + 4 * int64_t(t), 4);
            EXPECT_EQ(got, int32_t(want)) << "row " << t << " of " << v;
            const double top = machine.read(value + 4 * int64_t(t), 1, F)[0];
            EXPECT_TRUE(top == rounded(rows[t][want], B) ||
                        (std::isnan(top) && std::isnan(rows[t][want])));
          }
        });
  }
}

} // namespace
