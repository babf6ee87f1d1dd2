//===- SamplingTest.cpp - tokens drawn on the GPU against the CPU's --------===//
//
// The reference is the product's own sampler: the two must agree on every token.
//
//===----------------------------------------------------------------------===//
#include "Tests.h"

#include "runtime/engine/Sampler.h"
#include "runtime/kernels/Sampling.h"

#include <cstring>
#include <numeric>

namespace sinter::test {

namespace {

constexpr int kSlices = kernels::kSampleSlices;

struct SamplingCase {
  int rows, vocabulary;
  std::vector<float> x;
  std::vector<SamplingParams> params;
  std::vector<SinterSampling> sampling;
  Buffer logits, lists, value, index, feedback, drawn;
  kernels::SampleArgs args{};

  SamplingCase(int rows, int vocabulary)
      : rows(rows), vocabulary(vocabulary), x(size_t(rows) * size_t(vocabulary)),
        params(size_t(rows)), sampling(size_t(rows)), logits(x.size() * 4),
        lists(size_t(rows * kSlices) * sizeof(kernels::SampleList)), value(size_t(rows) * 4),
        index(size_t(rows) * 4), feedback(size_t(rows) * 4),
        drawn(size_t(rows) * sizeof(SinterSampling)) {
    Random random(uint64_t(rows * 7 + vocabulary));
    for (float &f : x)
      f = 4 * random.value();
    args = {logits.as<float>(), lists.as<kernels::SampleList>(), value.as<float>(),
            index.as<int>(),    feedback.as<int>(),              drawn.as<SinterSampling>(),
            rows,               vocabulary};
  }

  /// Other parameters for every row.
  void vary(uint64_t seed, int topK = 0) {
    const double temperatures[] = {0.6, 1, 0, 0.05, 1.7, 1e-6, 30};
    const int topKs[] = {20, 1, 64, 7, 40, 63, 2};
    const double topPs[] = {0.95, 1, 0.5, 0.1, 0.999};
    const double minPs[] = {0, 0.05, 0.6};
    for (size_t r = 0; r < params.size(); ++r) {
      const size_t i = r + seed * 5;
      params[r].temperature = temperatures[i % 7];
      params[r].topK = topK ? topK : topKs[i / 2 % 7];
      params[r].topP = topPs[i / 3 % 5];
      params[r].minP = minPs[i / 4 % 3];
      params[r].seed = seed << 33 | r;
      sampling[r] = params[r].forDevice(seed * 1000 + r);
    }
  }

  void start(const Kernels &kernels, int topGrid, int drawGrid) {
    logits.upload(x.data(), x.size() * 4);
    drawn.upload(sampling.data(), sampling.size() * sizeof(SinterSampling));
    lists.fill(0xff);
    for (Buffer *buffer : {&value, &index, &feedback})
      buffer->fill(0xff);
    launch({kernels.get("sinter_sample_top", 0), topGrid, kernels::kSampleThreads,
            int(sizeof(kernels::SampleTopShared))},
           args);
    launch({kernels.get("sinter_sample_draw", 0), drawGrid, kernels::kSampleThreads,
            int(sizeof(kernels::SampleDrawShared))},
           args);
    synchronize("sinter_sample");
  }

  /// Whether every slice's list begins with its k largest logits in order.
  bool listsAreRight() const {
    const auto got = lists.download<kernels::SampleList>();
    const int piece = (vocabulary + kSlices - 1) / kSlices;
    for (int item = 0; item < rows * kSlices; ++item) {
      const float *row = x.data() + size_t(item / kSlices) * size_t(vocabulary);
      const int begin = std::min(vocabulary, item % kSlices * piece);
      std::vector<int> order(size_t(std::min(vocabulary, begin + piece) - begin));
      std::iota(order.begin(), order.end(), begin);
      const size_t k = std::min(order.size(), size_t(sampling[size_t(item / kSlices)].top_k));
      std::partial_sort(
          order.begin(), order.begin() + long(k), order.end(),
          [&](int a, int b) { return row[a] > row[b] || (row[a] == row[b] && a < b); });
      for (size_t i = 0; i < k; ++i)
        if (got[size_t(item)].id[i] != order[i] || got[size_t(item)].value[i] != row[order[i]])
          return false;
    }
    return true;
  }

  /// Whether every row has the sampler's token.
  bool ok(const Kernels &kernels, bool finite = true, int topGrid = 0, int drawGrid = 0) {
    start(kernels, topGrid ? topGrid : std::min(rows * kSlices, 1024), drawGrid ? drawGrid : rows);
    const std::vector<float> values = value.download<float>();
    const std::vector<int> indices = index.download<int>(), back = feedback.download<int>();
    Sampler sampler;
    bool right = back == indices && (!finite || listsAreRight());
    for (size_t r = 0; r < size_t(rows); ++r) {
      const float *row = x.data() + r * size_t(vocabulary);
      const Result<int32_t> token = sampler.sample({row, size_t(vocabulary)}, params[r],
                                                   sampling[r].position);
      right = right && (token ? indices[r] == *token && values[r] == row[*token]
                              : std::isnan(values[r]) && indices[r] == 0);
    }
    return right;
  }
};

void testShape(const Kernels &kernels, Report &report, int rows, int vocabulary) {
  SamplingCase c(rows, vocabulary);
  const std::string what = "sampling " + std::to_string(rows) + " x " + std::to_string(vocabulary);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    c.vary(seed);
    report.expect(c.ok(kernels), what + ", seed " + std::to_string(seed));
  }
  report.expect(c.ok(kernels, true, 7, 3), what + ", few blocks");
  const std::vector<float> random = c.x;
  const auto fill = [&](const auto &valueAt) {
    for (size_t i = 0; i < c.x.size(); ++i)
      c.x[i] = valueAt(i, random[i]);
  };
  c.vary(20);
  fill([](size_t, float v) { return std::round(v); });
  report.expect(c.ok(kernels), what + ", many ties");
  fill([](size_t, float v) { return std::round(v * 64) / 64; });
  report.expect(c.ok(kernels), what + ", ties");
  fill([](size_t i, float) { return i % 2 ? 0.0f : -0.0f; });
  report.expect(c.ok(kernels), what + ", all equal");
  fill([](size_t i, float) { return float(i); });
  report.expect(c.ok(kernels), what + ", rising");
  fill([](size_t i, float v) { return i % 256 == 7 ? 50 + v : v; });
  report.expect(c.ok(kernels), what + ", the large ones in few threads");
  fill([](size_t i, float v) { return i % 1024 < 37 ? 9.0f : v; });
  report.expect(c.ok(kernels), what + ", runs of ties");
  fill([](size_t, float v) { return v < 0 ? -3e38f : 3e38f; });
  report.expect(c.ok(kernels), what + ", the largest floats");
  c.x = random;
  c.x[c.x.size() / 2] = NAN;
  c.x[c.x.size() - 1] = -INFINITY;
  c.x[0] = INFINITY;
  report.expect(c.ok(kernels, false), what + ", not finite");
}

} // namespace

void testSampling(const Kernels &kernels, Report &report) {
  for (int vocabulary : {1, 5, 33, 100, 2303, 4097, 151936})
    for (int rows : {1, 3, 32})
      testShape(kernels, report, rows, vocabulary);
  testShape(kernels, report, 256, 8191);
  report.group("sampling");
}

void quickSampling(const Kernels &kernels, Report &report) {
  testShape(kernels, report, 32, 20000);
}

void timeSampling(const Kernels &kernels) {
  for (int rows : {1, 8, 32, 64}) {
    SamplingCase c(rows, 151936);
    c.vary(0, 20);
    for (size_t r = 0; r < c.params.size(); ++r) {
      c.params[r] = {};
      c.params[r].temperature = 0.6, c.params[r].topK = 20, c.params[r].topP = 0.95;
      c.sampling[r] = c.params[r].forDevice(r);
    }
    c.start(kernels, rows * kSlices, rows);
    const Launch top{kernels.get("sinter_sample_top", 0), std::min(rows * kSlices, 1024),
                     kernels::kSampleThreads, int(sizeof(kernels::SampleTopShared)), true};
    const Launch draw{kernels.get("sinter_sample_draw", 0), rows, kernels::kSampleThreads,
                      int(sizeof(kernels::SampleDrawShared)), true};
    const auto time = [&](bool first, bool second) {
      return graphMicroseconds(
                 [&](cudaStream_t stream) {
                   for (int i = 0; i < 32; ++i) {
                     if (first)
                       launch(top, c.args, stream);
                     if (second)
                       launch(draw, c.args, stream);
                   }
                 },
                 9) /
             32;
    };
    std::printf("sinter_sample %2d rows: top %6.2f us, draw %6.2f us, both %6.2f us\n", rows,
                time(true, false), time(false, true), time(true, true));
  }
}

} // namespace sinter::test
