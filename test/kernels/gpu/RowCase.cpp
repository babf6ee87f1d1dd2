//===- RowCase.cpp - row kernels against plain loops ----------------------===//
#include "RowCase.h"

#include <cmath>
#include <limits>

using namespace sinter::test;

namespace {

struct RowCase {
  const Entry &entry;
  std::string op = entry.line.word("op");
  int64_t k = entry.line.number("k"), maxTokens = entry.line.number("m", 1);
  Type x = op == "argmax_merge" ? Type::F32 : typeOf(entry.line.type("x"));
  Type y = typeOf(entry.line.type("y"));
  int64_t vocabulary = 311, partials = entry.line.number("sums");
  int64_t sourceRows = op == "embedding" ? vocabulary : maxTokens;
  int64_t columns = op == "swiglu" ? 2 * k : k;
  bool best = op == "argmax" || op == "argmax_merge", two = op == "add" || op == "add_rms_norm";
  Numbers a, b, gamma;
  DeviceBatch batch{int(maxTokens), int(vocabulary)};
  Output first, second, sumsLeft, xgLeft;

  explicit RowCase(const Entry &e)
      : entry(e), a(x, size_t(sourceRows * columns), 11, 1.2, 0.05),
        b(x, size_t(two ? maxTokens * k : 0), 12, 1), gamma(Type::F32, size_t(k), 13, 0.4, 1),
        first(best ? Type::F32 : y, size_t(maxTokens * (best ? 1 : k))),
        second(best ? Type::F32 : y, size_t(best                   ? maxTokens
                                            : op == "add_rms_norm" ? maxTokens * k
                                                                   : 0)),
        sumsLeft(Type::F32, size_t(maxTokens * partials)),
        xgLeft(y, size_t(partials ? maxTokens * k : 0)) {
    if (best)
      makeCandidates();
  }
  /// Ties and NaN among the candidates.
  void makeCandidates() {
    std::vector<float> v = a.values;
    const size_t row = size_t(k);
    for (size_t m = 0; m < size_t(maxTokens); ++m) {
      if (m % 3 == 1)
        v[m * row + row / 3] = v[m * row + row - 1] = 9;
      if (m % 3 == 2)
        v[m * row + row / 2] = v[m * row + row / 5] = std::numeric_limits<float>::quiet_NaN();
    }
    a = Numbers(x, v);
    if (op == "argmax_merge") {
      std::vector<float> indices(v.size());
      for (size_t i = 0; i < v.size(); ++i) {
        const int32_t index = int32_t(i % row) * 3 + 7;
        std::memcpy(&indices[i], &index, 4);
      }
      b = Numbers(Type::F32, indices);
    }
  }
  std::vector<void *> pointers() const {
    std::vector<void *> p = {a.device.as()};
    if (two || op == "argmax_merge")
      p.push_back(b.device.as());
    if (op == "rms_norm" || op == "add_rms_norm")
      p.push_back(gamma.device.as());
    if (partials)
      p.push_back(gamma.device.as());
    p.push_back(first.device.as());
    if (partials) {
      p.push_back(sumsLeft.device.as());
      p.push_back(xgLeft.device.as());
    }
    if (second.count)
      p.push_back(second.device.as());
    p.push_back(batch.batch.as());
    return p;
  }
  double at(int64_t m, int64_t i) const { return a.values[size_t(m * columns + i)]; }

  /// Results of token m, from exact operands; `sums` receives the first result of add_rms_norm.
  std::vector<double> row(int64_t m, std::vector<double> &sums) const {
    std::vector<double> v(static_cast<size_t>(k));
    const int64_t source = op == "embedding"     ? batch.hostTokens[size_t(m)]
                           : op == "select_rows" ? batch.hostRows[size_t(m)]
                                                 : m;
    for (int64_t i = 0; i < k; ++i) {
      const double p = at(source, i);
      v[size_t(i)] = two              ? p + b.values[size_t(m * k + i)]
                     : op == "swiglu" ? p / (1 + std::exp(-p)) * at(m, i + k)
                                      : p;
    }
    if (op == "add_rms_norm") {
      sums = v;
      for (double &s : v)
        s = y == Type::F32 ? double(float(s)) : decode(y, encode(y, float(s)));
    }
    if (op == "rms_norm" || op == "add_rms_norm") {
      double squares = 0;
      for (double s : v)
        squares += s * s;
      for (int64_t i = 0; i < k; ++i)
        v[size_t(i)] *= gamma.values[size_t(i)] / std::sqrt(squares / double(k) + 1e-6);
    }
    return v;
  }
  std::string checkBest(int64_t count) const;
  std::string checkSums(int64_t count, const std::vector<float> &v) const;
  std::string check(int64_t count, double &worst) const;
};

std::string RowCase::checkBest(int64_t count) const {
  std::string problem;
  const std::vector<float> value = first.read(size_t(count), problem);
  const std::vector<float> raw = second.read(size_t(count), problem);
  for (int64_t m = 0; m < count; ++m) {
    int64_t expected = 0;
    for (int64_t i = 1; i < k; ++i) {
      const float v = a.values[size_t(m * k + i)], now = a.values[size_t(m * k + expected)];
      if (!std::isnan(now) && (std::isnan(v) || v > now))
        expected = i;
    }
    int32_t got;
    std::memcpy(&got, &raw[size_t(m)], 4);
    const float top = a.values[size_t(m * k + expected)];
    const bool same = std::isnan(top) ? std::isnan(value[size_t(m)]) : value[size_t(m)] == top;
    if (!same || got != (op == "argmax_merge" ? expected * 3 + 7 : expected))
      problem = "row " + std::to_string(m) + ": index " + std::to_string(got) +
                ", expected place " + std::to_string(expected);
  }
  return problem;
}

/// What an embedding leaves for a linear, from the rows that it wrote.
std::string RowCase::checkSums(int64_t count, const std::vector<float> &v) const {
  std::string problem;
  const std::vector<float> left = sumsLeft.read(size_t(count * partials), problem);
  const std::vector<float> xg = xgLeft.read(size_t(count * k), problem);
  for (int64_t m = 0; m < count; ++m) {
    double expected = 0, got = 0;
    for (int64_t i = 0; i < partials; ++i)
      got += left[size_t(m * partials + i)];
    for (int64_t i = 0; i < k; ++i) {
      const float each = v[size_t(m * k + i)], product = each * gamma.values[size_t(i)];
      expected += double(each) * each;
      const float wanted = y == Type::F32 ? product : decode(y, encode(y, product));
      if (xg[size_t(m * k + i)] != wanted)
        problem = "x * gamma off in row " + std::to_string(m);
    }
    if (!(std::fabs(got - expected) <= 1e-5 * expected))
      problem = "sums of squares off in row " + std::to_string(m);
  }
  return problem;
}

std::string RowCase::check(int64_t count, double &worst) const {
  if (best)
    return checkBest(count);
  std::string problem;
  const bool both = op == "add_rms_norm";
  const std::vector<float> result = (both ? second : first).read(size_t(count * k), problem);
  const std::vector<float> sums =
      both ? first.read(size_t(count * k), problem) : std::vector<float>();
  std::vector<double> wanted, wantedSums;
  for (int64_t m = 0; m < count; ++m) {
    std::vector<double> s;
    for (double v : row(m, s))
      wanted.push_back(v);
    wantedSums.insert(wantedSums.end(), s.begin(), s.end());
  }
  if (partials && problem.empty())
    problem = checkSums(count, result);
  const double bound = y == Type::BF16 ? 2e-3 : y == Type::F16 ? 4e-4 : 1e-5;
  Error e = relativeError(result, wanted, int(k));
  if (both)
    e.all = std::max(e.all, relativeError(sums, wantedSums, int(k)).all);
  worst = std::max(worst, e.all / bound);
  if (!(e.all <= bound))
    problem = "relative L2 " + std::to_string(e.all);
  return problem;
}

} // namespace

std::string sinter::test::checkRows(const Kernels &kernels, const Entry &entry, int &runs,
                                    double &worst) {
  RowCase c(entry);
  for (int64_t count : {0, 1, 2, 3, 5, 8, 17, 33, 64, 128, 300}) {
    if (count > c.maxTokens)
      break;
    c.batch.setTokens(int(count));
    c.first.poison();
    c.second.poison();
    c.sumsLeft.poison();
    c.xgLeft.poison();
    launch(kernels, entry, c.pointers(), false);
    synchronize(entry.line.name.c_str());
    ++runs;
    if (std::string problem = c.check(count, worst); !problem.empty())
      return std::to_string(count) + " tokens: " + problem;
  }
  return {};
}

void sinter::test::timeRows(const Kernels &kernels, const std::vector<Entry> &entries) {
  for (const Entry &e : entries) {
    if (!e.line.has("time") || e.line.what != "rows")
      continue;
    RowCase c(e);
    c.batch.setTokens(int(c.maxTokens));
    constexpr int kLaunches = 64;
    double us[2];
    for (int overlap = 0; overlap < 2; ++overlap)
      us[overlap] = graphMicroseconds(
                        [&](cudaStream_t stream) {
                          for (int i = 0; i < kLaunches; ++i)
                            launch(kernels, e, c.pointers(), overlap && i > 0, stream);
                        },
                        25) /
                    kLaunches;
    std::printf("%-26s %7.2f us pdl %7.2f us plain\n", e.line.name.c_str(), us[1], us[0]);
  }
}
