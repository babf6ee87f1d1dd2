//===- LinearTest.cpp - every linear against f64 loops --------------------===//
#include "Machine.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <ostream>

using namespace sinter;
using namespace sinter::test;

namespace {

constexpr double kEps = 1e-6;
constexpr int64_t kMaxTokens = 33;

enum class Op { Linear, Add, Norm, Swiglu, Argmax };

struct Case {
  Op op;
  std::vector<int64_t> sources;
  int64_t k;
  DType weight, x, y;
  bool bias = false, norm = false;

  int64_t weightRows() const {
    int64_t n = 0;
    for (int64_t r : sources)
      n += r;
    return n;
  }
  int64_t outputs() const { return op == Op::Swiglu ? weightRows() / 2 : weightRows(); }
};

std::string name(DType t) { return std::string(dtypeName(t)); }
int64_t align(int64_t n) { return (n + 63) / 64 * 64; }
int64_t size(DType t) { return static_cast<int64_t>(dtypeBytes(t)); }

/// Where the test put things in the arena.
struct Places {
  int64_t x = 0, residual, y, value, index, bytes;
  explicit Places(const Case &c) {
    residual = align(kMaxTokens * c.k * size(c.x));
    y = residual + align(kMaxTokens * c.outputs() * size(c.y));
    value = y + align(kMaxTokens * c.outputs() * size(c.y));
    index = value + align(kMaxTokens * 4);
    bytes = index + align(kMaxTokens * 4);
  }
};

/// The op's line; its operands are already named.
std::string opText(const Case &c) {
  const Places p(c);
  const std::string k = std::to_string(c.k), rows = std::to_string(c.weightRows());
  const std::string x = "tensor<?x" + k + "x" + name(c.x) + ">";
  const std::string w = "tensor<" + rows + "x" + k + "x" + name(c.weight) + ">";
  const std::string y = "tensor<?x" + std::to_string(c.outputs()) + "x" + name(c.y) + ">";
  const std::string g = "tensor<" + k + "xf32>";
  const std::string bias = c.bias ? " bias %b" : "";
  const std::string biasType = c.bias ? ", tensor<" + rows + "xf32>" : "";
  const std::string at = " {xfmr.buffers = array<i64: " + std::to_string(p.y) + ">";
  const std::string eps = ", eps = 1.0e-6 : f32} : (";
  switch (c.op) {
  case Op::Linear:
    return "%y = xfmr.linear %x, %w" + bias + at + "} : (" + x + ", " + w + biasType + ") -> " + y;
  case Op::Add:
    return "%y = xfmr.linear_add %x, %w, %r" + bias + at + "} : (" + x + ", " + w + ", " + y +
           biasType + ") -> " + y;
  case Op::Norm:
  case Op::Swiglu:
    return std::string("%y = xfmr.rms_norm_") + (c.op == Op::Norm ? "linear" : "swiglu") +
           " %x, %g, %w" + bias + at + eps + x + ", " + g + ", " + w + biasType + ") -> " + y;
  case Op::Argmax:
    return "%v, %i = xfmr.linear_argmax %x, %w" + bias + (c.norm ? " norm %g" : "") +
           " {xfmr.buffers = array<i64: " + std::to_string(p.value) + ", " +
           std::to_string(p.index) + ">" + eps + x + ", " + w + biasType +
           (c.norm ? ", " + g : "") + ") -> (tensor<?xf32>, tensor<?xi32>)";
  }
  return "";
}

/// One entry per class of T, all with the same places.
std::string moduleText(const Case &c) {
  const Places p(c);
  const std::string k = std::to_string(c.k), rows = std::to_string(c.weightRows());
  const std::string w = "tensor<" + rows + "x" + k + "x" + name(c.weight) + ">";
  std::string text =
      "module attributes {xfmr.arena_bytes = " + std::to_string(p.bytes) + " : i64} {\n";
  text += "xfmr.weight @w : " + w + " from [";
  for (size_t i = 0; i < c.sources.size(); ++i)
    text += (i ? ", " : "") + std::string("#xfmr.source<\"w") + std::to_string(i) + "\", 0, " +
            std::to_string(c.sources[i]) + ">";
  text += "] layout tiled16\n";
  auto vector = [](const std::string &symbol, const std::string &n) {
    return "xfmr.weight @" + symbol + " : tensor<" + n + "xf32> from [#xfmr.source<\"" + symbol +
           "\", 0, " + n + ">] layout plain\n";
  };
  text += vector("g", k) + vector("b", rows);
  for (auto [lo, hi] : {std::pair{1, 1}, {2, 4}, {5, 8}, {9, static_cast<int>(kMaxTokens)}}) {
    text += "func.func @step_" + std::to_string(lo) + "(%x: tensor<?x" + k + "x" + name(c.x) +
            "> {xfmr.buffer = 0 : i64}, %r: tensor<?x" + std::to_string(c.outputs()) + "x" +
            name(c.y) + "> {xfmr.buffer = " + std::to_string(p.residual) +
            " : i64}) attributes {xfmr.entry, xfmr.tokens = array<i64: " + std::to_string(lo) +
            ", " + std::to_string(hi) + ">} {\n";
    text += "%w = xfmr.get_weight @w : " + w + "\n";
    text += "%g = xfmr.get_weight @g : tensor<" + k + "xf32>\n";
    text += "%b = xfmr.get_weight @b : tensor<" + rows + "xf32>\n";
    text += opText(c) + "\nreturn\n}\n";
  }
  return text + "}\n";
}

void PrintTo(const Case &c, std::ostream *os) {
  *os << "op " << int(c.op) << ", " << c.weightRows() << "x" << c.k << ", " << name(c.weight) << " "
      << name(c.x) << " " << name(c.y) << (c.bias ? ", bias" : "");
}

unsigned entryFor(int64_t tokens) {
  return tokens == 1 ? 0 : tokens <= 4 ? 1 : tokens <= 8 ? 2 : 3;
}

struct Data {
  std::vector<double> w, g, b, x, r;
};
Data makeData(const Case &c) {
  auto values = [](int64_t n, unsigned seed, DType type, double scale = 1) {
    return randomValues(static_cast<size_t>(n), seed, type, scale);
  };
  return {values(c.weightRows() * c.k, 1, c.weight, 1 / std::sqrt(double(c.k))),
          values(c.k, 2, DType::F32), values(c.weightRows(), 3, DType::F32),
          values(kMaxTokens * c.k, 4, c.x), values(kMaxTokens * c.outputs(), 5, c.y)};
}

/// Whether an instruction set takes pairs of bf16: x * gamma is rounded then, and bits differ.
bool takesPairs(const Case &c, CpuIsa isa) {
  return isa == CpuIsa::V4Bf16 && c.weight == DType::BF16 && c.x == DType::BF16;
}

/// f64 throughout, x * gamma rounded if `pairs`, nothing else: [tokens][weight rows].
std::vector<double> projections(const Case &c, const Data &d, int64_t tokens, bool pairs) {
  const bool norm = c.norm || c.op == Op::Norm || c.op == Op::Swiglu;
  std::vector<double> out;
  for (int64_t t = 0; t < tokens; ++t) {
    const double *x = d.x.data() + t * c.k;
    double squares = 0;
    for (int64_t i = 0; i < c.k; ++i)
      squares += x[i] * x[i];
    const double scale = norm ? 1 / std::sqrt(squares / double(c.k) + kEps) : 1;
    std::vector<double> scaled(x, x + c.k);
    for (int64_t i = 0; norm && i < c.k; ++i) {
      double &v = scaled.data()[i];
      v = pairs ? rounded(v * d.g.data()[i], DType::BF16) : v * d.g.data()[i];
    }
    for (int64_t n = 0; n < c.weightRows(); ++n) {
      double sum = 0;
      for (int64_t i = 0; i < c.k; ++i)
        sum += scaled.data()[i] * d.w.data()[n * c.k + i];
      out.push_back(sum * scale + (c.bias ? d.b.data()[n] : 0));
    }
  }
  return out;
}

/// The declared result: one rounding at the end.
std::vector<double> expected(const Case &c, const Data &d, int64_t tokens, bool pairs) {
  const std::vector<double> p = projections(c, d, tokens, pairs);
  std::vector<double> out;
  const int64_t n = c.outputs();
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < n; ++i) {
      double v = p.data()[t * c.weightRows() + i];
      if (c.op == Op::Swiglu)
        v = v / (1 + std::exp(-v)) * p.data()[t * c.weightRows() + n + i];
      if (c.op == Op::Add)
        v += d.r.data()[t * n + i];
      out.push_back(rounded(v, c.y));
    }
  }
  return out;
}

double bound(DType y) { return y == DType::F32 ? 1e-5 : y == DType::BF16 ? 2e-3 : 3e-4; }

class LinearTest : public testing::TestWithParam<Case> {
protected:
  void SetUp() override {
    // The tests of a case share its code: compiling takes longer than running.
    static std::map<std::string, std::shared_ptr<Jit>> compiled;
    std::shared_ptr<Jit> &cached = compiled[moduleText(GetParam())];
    if (!cached)
      cached = Jit::compile(moduleText(GetParam()));
    jit = cached;
    ASSERT_TRUE(jit);
    data = makeData(GetParam());
  }

  Machine machine(int64_t tokens) {
    const Case &c = GetParam();
    const Places p(c);
    Machine m(*jit);
    m.weights = {packTiled(data.w, c.sources, c.k, c.weight), packPlain(data.g), packPlain(data.b)};
    m.oneSequence(static_cast<uint32_t>(tokens));
    // Only the rows of this step: what lies beyond stays poison.
    m.fill(p.x, {data.x.begin(), data.x.begin() + tokens * c.k}, c.x);
    m.fill(p.residual, {data.r.begin(), data.r.begin() + tokens * c.outputs()}, c.y);
    return m;
  }

  void expectArgmax(const Machine &m, int64_t tokens, bool pairs) {
    const Case &c = GetParam();
    const Places p(c);
    const std::vector<double> want = expected(c, data, tokens, pairs);
    for (int64_t t = 0; t < tokens; ++t) {
      auto first = want.begin() + t * c.outputs(), last = first + c.outputs();
      int32_t index;
      std::memcpy(&index, m.arena.data() + p.index + 4 * t, 4);
      EXPECT_EQ(index, std::max_element(first, last) - first);
      EXPECT_NEAR(m.read(p.value + 4 * t, 1, DType::F32)[0], *std::max_element(first, last), 1e-4);
    }
  }

  std::shared_ptr<Jit> jit;
  Data data;
};

TEST_P(LinearTest, EqualsF64ForEveryTokenCount) {
  const Case &c = GetParam();
  const Places p(c);
  const int64_t n = c.outputs();
  std::vector<uint8_t> references[2]; // the bits of all rows, from the run with all tokens
  for (int64_t tokens : {33, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}) {
    for (CpuIsa isa : machineIsas()) {
      const bool pairs = takesPairs(c, isa);
      Machine m = machine(tokens);
      m.run(isa, Split::Whole, entryFor(tokens));
      ASSERT_TRUE(m.guardsIntact());
      if (c.op == Op::Argmax) {
        expectArgmax(m, tokens, pairs);
        continue;
      }
      auto got = m.read(p.y, static_cast<size_t>(tokens * n), c.y);
      ASSERT_LE(relativeL2(got, expected(c, data, tokens, pairs)), bound(c.y))
          << tokens << " tokens, isa " << int(isa);
      const uint8_t *bits = m.arena.data() + p.y;
      const int64_t bytes = tokens * n * size(c.y);
      // Rows that do not exist were not written.
      EXPECT_TRUE(tokens == kMaxTokens || bits[bytes] == 0xff)
          << tokens << " tokens, isa " << int(isa);
      std::vector<uint8_t> &reference = references[pairs];
      if (reference.empty())
        reference.assign(bits, bits + bytes);
      EXPECT_EQ(0, std::memcmp(reference.data(), bits, static_cast<size_t>(bytes)))
          << tokens << " tokens give other bits than 33, isa " << int(isa);
    }
  }
}

/// A step of many tokens may ask for one row: the kernel for many must do what that for one does.
TEST_P(LinearTest, OneTokenGivesTheSameBitsInBothKernels) {
  for (CpuIsa isa : machineIsas()) {
    Machine one = machine(1), many = machine(1);
    one.run(isa, Split::Whole, entryFor(1));
    many.run(isa, Split::Whole, entryFor(17));
    EXPECT_TRUE(many.guardsIntact());
    if (GetParam().op == Op::Argmax)
      expectArgmax(many, 1, takesPairs(GetParam(), isa));
    else
      EXPECT_EQ(0, std::memcmp(one.arena.data(), many.arena.data(), one.arena.size()));
  }
}

/// Of equal outputs the first wins, and NaN before numbers, wherever in a tile or a task they are.
TEST_P(LinearTest, ArgmaxPrefersTheFirstAndNaN) {
  const Case &c = GetParam();
  if (c.op != Op::Argmax)
    return;
  const Places p(c);
  const int64_t last = c.outputs() - 1, middle = last / 2;
  for (double planted : {0.0, double(NAN)}) {
    Data saved = data;
    std::fill(data.w.begin(), data.w.end(), 0.0);
    std::fill(data.b.begin(), data.b.end(), 0.0);
    for (int64_t row : {middle, last})
      data.w[static_cast<size_t>(row * c.k)] = planted;
    for (CpuIsa isa : machineIsas())
      for (int64_t tokens : {1, 17}) {
        Machine m = machine(tokens);
        m.run(isa, Split::Whole, entryFor(tokens));
        for (int64_t t = 0; t < tokens; ++t) {
          int32_t index;
          std::memcpy(&index, m.arena.data() + p.index + 4 * t, 4);
          EXPECT_EQ(index, std::isnan(planted) ? middle : 0) << tokens << " tokens";
        }
      }
    data = std::move(saved);
  }
}

TEST_P(LinearTest, SplitsAndThreadsGiveTheSameBits) {
  for (CpuIsa isa : machineIsas()) {
    for (int64_t tokens : {1, 3, 8, 17}) {
      Machine whole = machine(tokens);
      whole.run(isa, Split::Whole, entryFor(tokens));
      for (Split split : {Split::OneByOne, Split::Backwards, Split::Threads}) {
        Machine m = machine(tokens);
        m.run(isa, split, entryFor(tokens));
        EXPECT_TRUE(m.guardsIntact());
        EXPECT_EQ(0, std::memcmp(m.arena.data(), whole.arena.data(), m.arena.size()));
      }
    }
  }
}

/// Gives the last row the largest output of every token, by its last column alone.
void plantWinner(const Case &c, Data &d) {
  const auto k = static_cast<size_t>(c.k);
  std::fill(d.w.end() - c.k, d.w.end(), 0.0);
  d.w.back() = 64;
  d.g[k - 1] = 1;
  d.b.back() = 0;
  for (size_t last = k - 1; last < d.x.size(); last += k)
    d.x[last] = 1;
}

std::vector<int64_t> largest(const std::vector<double> &rows, int64_t columns) {
  std::vector<int64_t> indices;
  for (auto row = rows.begin(); row != rows.end(); row += columns)
    indices.push_back(std::max_element(row, row + columns) - row);
  return indices;
}

/// The comparison is worth something only if a dropped last column fails it.
TEST_P(LinearTest, CheckerSeesADroppedColumn) {
  const Case &c = GetParam();
  if (c.op == Op::Argmax)
    plantWinner(c, data);
  Data broken = data;
  for (int64_t n = 0; n < c.weightRows(); ++n)
    broken.w.data()[n * c.k + c.k - 1] = 0;
  for (CpuIsa isa : machineIsas()) {
    const bool pairs = takesPairs(c, isa);
    Machine m = machine(17);
    m.run(isa, Split::Whole, entryFor(17));
    auto right = expected(c, data, 17, pairs), wrong = expected(c, broken, 17, pairs);
    if (c.op == Op::Argmax) {
      expectArgmax(m, 17, pairs);
      for (int64_t index : largest(right, c.outputs()))
        ASSERT_EQ(index, c.outputs() - 1);
      for (int64_t index : largest(wrong, c.outputs()))
        ASSERT_NE(index, c.outputs() - 1) << "the dropped column does not move the index";
      continue;
    }
    auto got = m.read(Places(c).y, right.size(), c.y);
    EXPECT_LE(relativeL2(got, right), bound(c.y));
    EXPECT_GT(relativeL2(got, wrong), bound(c.y));
  }
}

/// Rounding x * gamma costs what rounding the result does: within the 1.5 times of one rounding
/// that an op may cost. SwiGLU rounds gate's and up's as well, sqrt 3 with some slack, as GPU
/// templates do.
TEST_P(LinearTest, PairsOfBf16StayNearExact) {
  const Case &c = GetParam();
  if (!hasIsa(CpuIsa::V4Bf16) || !takesPairs(c, CpuIsa::V4Bf16) || c.y != DType::BF16)
    return;
  Machine m = machine(kMaxTokens);
  m.run(CpuIsa::V4Bf16, Split::Whole, entryFor(kMaxTokens));
  Case unrounded = c;
  unrounded.y = DType::F32;
  const std::vector<double> exact = expected(unrounded, data, kMaxTokens, false);
  auto got = m.read(Places(c).y, exact.size(), c.y);
  const double allowed = c.op == Op::Swiglu ? 1.2 * std::sqrt(3.0) : 1.5;
  EXPECT_LE(relativeL2(got, exact),
            allowed * relativeL2(expected(c, data, kMaxTokens, false), exact));
}

constexpr DType F = DType::F32, B = DType::BF16, H = DType::F16;

INSTANTIATE_TEST_SUITE_P(
    Shapes, LinearTest,
    testing::Values(Case{Op::Linear, {1}, 1, B, B, B}, Case{Op::Linear, {40}, 7, B, B, B, true},
                    Case{Op::Linear, {17}, 33, F, F, F, true}, Case{Op::Linear, {64}, 64, B, B, F},
                    Case{Op::Linear, {31}, 65, H, H, H}, Case{Op::Linear, {80}, 130, H, H, F, true},
                    Case{Op::Linear, {129}, 16, B, F, F}, Case{Op::Linear, {5}, 257, B, B, B},
                    Case{Op::Add, {40}, 96, B, B, B}, Case{Op::Add, {36}, 21, B, B, B, true},
                    Case{Op::Add, {144}, 32, F, F, F}, Case{Op::Add, {20}, 48, H, H, H},
                    Case{Op::Norm, {64, 32, 32}, 128, B, B, B, true},
                    Case{Op::Norm, {20, 9, 9}, 66, B, B, B, true},
                    Case{Op::Norm, {3, 2, 1}, 19, F, F, F}, Case{Op::Norm, {48}, 35, H, H, H},
                    Case{Op::Norm, {100}, 64, B, B, F}, Case{Op::Swiglu, {48, 48}, 64, B, B, B},
                    Case{Op::Swiglu, {21, 21}, 33, B, B, B, true},
                    Case{Op::Swiglu, {64}, 40, B, B, B},
                    Case{Op::Swiglu, {7, 7}, 24, F, F, F, true},
                    Case{Op::Swiglu, {80, 80}, 32, H, H, H}, Case{Op::Argmax, {1000}, 32, B, B, F},
                    Case{Op::Argmax, {37}, 17, B, B, F, true, true},
                    Case{Op::Argmax, {256}, 20, F, F, F, false, true}));

TEST(Isas, AllWereRun) {
  if (!hasIsa(CpuIsa::V4Bf16))
    GTEST_SKIP() << "this machine lacks x86-64-v4" << (hasIsa(CpuIsa::V4) ? "-bf16" : "")
                 << ": its kernels were compiled, not run";
}

} // namespace
