//===- SamplingCase.h - inputs of the sampling kernels and what is right ---===//
//
// The reference is the product's own sampler: the two must agree on every token.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Values.h"

#include "runtime/engine/Sampler.h"
#include "runtime/kernels/Sampling.h"

#include <numeric>
#include <string>

namespace sinter::test {

struct SamplingResults {
  std::vector<kernels::SampleList> lists;
  std::vector<float> value;
  std::vector<int> index, feedback;
};

struct SamplingCase {
  int rows, vocabulary;
  std::vector<float> x;
  std::vector<SamplingParams> params;
  std::vector<SinterSampling> sampling;

  SamplingCase(int rows, int vocabulary)
      : rows(rows), vocabulary(vocabulary), x(size_t(rows) * size_t(vocabulary)),
        params(size_t(rows)), sampling(size_t(rows)) {
    Random random(uint64_t(rows * 7 + vocabulary));
    for (float &f : x)
      f = 4 * random.value();
  }

  /// Other parameters for every row.
  void vary(uint64_t seed) {
    const double temperatures[] = {0.6, 1, 0, 0.05, 1.7, 1e-6, 30};
    const int topKs[] = {20, 1, 64, 7, 40, 63, 2};
    const double topPs[] = {0.95, 1, 0.5, 0.1, 0.999};
    const double minPs[] = {0, 0.05, 0.6};
    for (size_t r = 0; r < params.size(); ++r) {
      const size_t i = r + seed * 5;
      params[r].temperature = temperatures[i % 7];
      params[r].topK = topKs[i / 2 % 7];
      params[r].topP = topPs[i / 3 % 5];
      params[r].minP = minPs[i / 4 % 3];
      params[r].seed = seed << 33 | r;
      sampling[r] = params[r].forDevice(seed * 1000 + r);
    }
  }

  /// Candidates in the order of their ids, of which min-p takes out some in between: logits are
  /// even between -4 and 4, and the 64 largest are to be about 3 temperatures apart.
  void keepByMinP() {
    for (size_t r = 0; r < params.size(); ++r) {
      params[r].temperature = 64.0 * 8 / 3 / vocabulary, params[r].topK = 64;
      params[r].topP = 1, params[r].minP = 0.3;
      params[r].seed = 77 + r;
      sampling[r] = params[r].forDevice(r);
    }
  }

  /// Whether every slice's list begins with its k largest logits in order.
  bool listsAreRight(const std::vector<kernels::SampleList> &lists) const {
    constexpr int kSlices = kernels::kSampleSlices;
    const int piece = (vocabulary + kSlices - 1) / kSlices;
    for (int item = 0; item < rows * kSlices; ++item) {
      const float *row = x.data() + size_t(item / kSlices) * size_t(vocabulary);
      const int begin = std::min(vocabulary, item % kSlices * piece);
      std::vector<int> order(size_t(std::min(vocabulary, begin + piece) - begin));
      std::iota(order.begin(), order.end(), begin);
      const size_t k = std::min(order.size(), size_t(sampling[size_t(item / kSlices)].top_k));
      std::partial_sort(order.begin(), order.begin() + long(k), order.end(), [&](int a, int b) {
        return row[a] > row[b] || (row[a] == row[b] && a < b);
      });
      const kernels::SampleList &list = lists[size_t(item)];
      for (size_t i = 0; i < k; ++i)
        if (list.id[i] != order[i] || list.value[i] != row[order[i]])
          return false;
    }
    return true;
  }

  /// Whether every row has the sampler's token.
  bool isRight(const SamplingResults &got, bool finite) const {
    Sampler sampler;
    bool right = got.feedback == got.index && (!finite || listsAreRight(got.lists));
    for (size_t r = 0; r < size_t(rows); ++r) {
      const float *row = x.data() + r * size_t(vocabulary);
      const Result<int32_t> token =
          sampler.sample({row, size_t(vocabulary)}, params[r], sampling[r].position);
      right = right && (token ? got.index[r] == *token && got.value[r] == row[*token]
                              : std::isnan(got.value[r]) && got.index[r] == 0);
    }
    return right;
  }

  /// Calls check(what, finite) for many logits and parameters of this shape.
  template <class Check> void forEach(uint64_t seeds, const Check &check) {
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      vary(seed);
      check("seed " + std::to_string(seed), true);
    }
    keepByMinP();
    check("min-p alone", true);
    const std::vector<float> random = x;
    const auto fill = [&](const char *what, const auto &valueAt) {
      for (size_t i = 0; i < x.size(); ++i)
        x[i] = valueAt(i, random[i]);
      check(what, true);
    };
    vary(20);
    fill("many ties", [](size_t, float v) { return std::round(v); });
    fill("ties", [](size_t, float v) { return std::round(v * 64) / 64; });
    fill("all equal", [](size_t i, float) { return i % 2 ? 0.0f : -0.0f; });
    fill("rising", [](size_t i, float) { return float(i); });
    fill("the large ones in few threads",
         [](size_t i, float v) { return i % 256 == 7 ? 50 + v : v; });
    fill("runs of ties", [](size_t i, float v) { return i % 1024 < 37 ? 9.0f : v; });
    fill("every second one tied", [](size_t i, float v) { return i % 2 ? 9.0f : v; });
    fill("the largest floats", [](size_t, float v) { return v < 0 ? -3e38f : 3e38f; });
    x = random;
    x[x.size() / 2] = NAN;
    x[x.size() - 1] = -INFINITY;
    x[0] = INFINITY;
    check("not finite", false);
  }
};

} // namespace sinter::test
