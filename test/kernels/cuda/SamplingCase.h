//===- SamplingCase.h - inputs of the sampling kernels and what is right ---===//
//
// The reference is the product's own sampler: the two must agree on every token.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Values.h"

#include "runtime/engine/Sampler.h"
#include "runtime/engine/TokenEdits.h"
#include "runtime/kernels/Sampling.h"

#include <numeric>
#include <string>

namespace sinter::test {

struct SamplingResults {
  std::vector<kernels::SampleList> lists;
  std::vector<float> value;
  std::vector<int> index, feedback;
};

/// What changes a row's logits beside its parameters.
struct SamplingPast {
  std::vector<int32_t> history;
  size_t prompt = 0;
  std::vector<uint32_t> allowed; ///< empty: every token
  TokenEdits edits;
};

struct SamplingCase {
  static constexpr int kHistory = 900; ///< tokens at most

  int rows, vocabulary;
  std::vector<float> x;
  std::vector<SamplingParams> params;
  std::vector<SamplingPast> past;
  std::vector<SinterSampling> sampling; ///< with the host's pointers

  SamplingCase(int rows, int vocabulary)
      : rows(rows), vocabulary(vocabulary), x(size_t(rows) * size_t(vocabulary)),
        params(size_t(rows)), past(size_t(rows)), sampling(size_t(rows)) {
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
      params[r] = {};
      past[r] = {};
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

  /// Penalties, biases and masks on top, no two rows alike; every fifth row has none.
  void change(uint64_t seed) {
    Random random(seed * 31 + uint64_t(vocabulary));
    const double repetitions[] = {1, 1.1, 0.5, 1e30};
    const double penalties[] = {0, 0.4, -1.3};
    const int tokens[] = {0, vocabulary / 2, vocabulary - 1, vocabulary + 3};
    const float biases[] = {2, -100, 3e38f, 5};
    for (size_t r = 0; r < params.size(); ++r) {
      const size_t i = r + seed;
      SamplingPast &p = past[r] = {};
      if (i % 5 == 4)
        continue;
      params[r].repetitionPenalty = repetitions[i % 4];
      params[r].presencePenalty = penalties[i / 2 % 3];
      params[r].frequencyPenalty = penalties[i / 3 % 3];
      for (int j = 0; j < int(i / 3 % 5); ++j)
        if (j == 0 || tokens[j] > tokens[j - 1]) // few have room for all of them
          params[r].logitBias.emplace_back(tokens[j], biases[j]);
      for (int j = random.below(kHistory); j >= 0; --j)
        p.history.push_back(random.below(j % 3 ? std::min(vocabulary, 40) : vocabulary));
      p.prompt = p.history.size() / 3;
      sampling[r] = params[r].forDevice(sampling[r].position);
      p.edits.describe(params[r], p.history, p.prompt, sampling[r]);
      const int kind = int(i % 7);
      if (kind < 3)
        continue;
      p.allowed.assign((size_t(vocabulary) + 31) / 32, kind == 3 ? ~0u : 0); // all
      for (int j = kind == 4 ? vocabulary : kind == 5 ? 3 : 0; j > 0; --j)   // many, few, none
        allow(p, random.below(vocabulary));
      if (vocabulary % 32)
        p.allowed.back() |= ~0u << (vocabulary % 32); // no tokens
      sampling[r].allowed = p.allowed.data();
    }
  }

  static void allow(SamplingPast &p, int id) { p.allowed[size_t(id) / 32] |= 1u << (id % 32); }

  /// A row's logits as the product's host changes them.
  std::vector<float> scoresOf(size_t r) const {
    const SamplingPast &p = past[r];
    const std::span<const float> row = {x.data() + r * size_t(vocabulary), size_t(vocabulary)};
    TokenScores scores;
    const auto changed = scores.apply(row, params[r], {p.history, p.prompt, p.allowed});
    return {changed.begin(), changed.end()};
  }

  /// Whether every slice's list begins with its k largest logits in order.
  bool listsAreRight(const std::vector<kernels::SampleList> &lists) const {
    constexpr int kSlices = kernels::kSampleSlices;
    const int piece = (vocabulary + kSlices - 1) / kSlices;
    std::vector<float> row;
    for (int item = 0; item < rows * kSlices; ++item) {
      if (item % kSlices == 0)
        row = scoresOf(size_t(item / kSlices));
      const int begin = std::min(vocabulary, item % kSlices * piece);
      std::vector<int> order(size_t(std::min(vocabulary, begin + piece) - begin));
      std::iota(order.begin(), order.end(), begin);
      const size_t k = std::min(order.size(), size_t(sampling[size_t(item / kSlices)].top_k));
      std::partial_sort(order.begin(), order.begin() + long(k), order.end(), [&](int a, int b) {
        return row[size_t(a)] > row[size_t(b)] || (row[size_t(a)] == row[size_t(b)] && a < b);
      });
      const kernels::SampleList &list = lists[size_t(item)];
      for (size_t i = 0; i < k; ++i)
        if (const float v = row[size_t(order[i])];
            list.value[i] != v || (v > -INFINITY && list.id[i] != order[i]))
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
      const SamplingPast &p = past[r];
      const Result<int32_t> token =
          sampler.sample({row, size_t(vocabulary)}, params[r], sampling[r].position,
                         {p.history, p.prompt, p.allowed});
      if (token)
        right = right && got.index[r] == *token && got.value[r] == scoresOf(r)[size_t(*token)];
      else if (token.status().code() == StatusCode::InvalidArgument) // nothing is allowed
        right = right && got.index[r] == 0 && got.value[r] == -INFINITY;
      else
        right = right && got.index[r] == 0 && std::isnan(got.value[r]);
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
    for (uint64_t seed = 0; seed < 2 * seeds; ++seed) {
      vary(seed);
      change(seed);
      check("changed, seed " + std::to_string(seed), true);
    }
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
    change(3);
    check("the largest floats, changed", true);
    fill("many ties, changed", [](size_t, float v) { return std::round(v); });
    fill("every second one tied, changed", [](size_t i, float v) { return i % 2 ? 9.0f : v; });
    x = random;
    for (size_t r = 0; r < size_t(rows); ++r) // what is forbidden or edited must be finite as well
      x[r * size_t(vocabulary) + r % size_t(vocabulary)] = r % 2 ? NAN : -INFINITY;
    check("not finite, changed", false);
    for (SamplingPast &p : past)
      p = {};
    vary(20);
    x = random;
    x[x.size() / 2] = NAN;
    x[x.size() - 1] = -INFINITY;
    x[0] = INFINITY;
    check("not finite", false);
  }
};

} // namespace sinter::test
