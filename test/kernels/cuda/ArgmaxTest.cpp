//===- ArgmaxTest.cpp - argmax against a plain loop ------------------------===//
#include "Tests.h"

#include "runtime/kernels/Argmax.h"

#include <cstring>

namespace sinter::test {

namespace {

struct ArgmaxCase {
  int rows, vocabulary, parts;
  std::vector<float> x;
  Buffer logits, value, index, partValue, partIndex, counters;
  kernels::ArgmaxArgs args{};

  ArgmaxCase(int rows, int vocabulary, int parts)
      : rows(rows), vocabulary(vocabulary), parts(parts), x(size_t(rows) * size_t(vocabulary)),
        logits(x.size() * 4), value(size_t(rows) * 4), index(size_t(rows) * 4),
        partValue(size_t(rows * parts) * 4), partIndex(size_t(rows * parts) * 4),
        counters(size_t(rows) * 4) {
    Random random(uint64_t(rows * 7 + vocabulary));
    for (float &f : x)
      f = random.value();
    counters.fill(0);
    args = {logits.as<float>(),  value.as<float>(),       index.as<int>(), partValue.as<float>(),
            partIndex.as<int>(), counters.as<unsigned>(), vocabulary,      parts};
  }

  bool ok(const Kernels &kernels) {
    logits.upload(x.data(), x.size() * 4);
    value.fill(0xff);
    index.fill(0xff);
    launch({kernels.get("sinter_argmax", 0), rows * parts, kernels::kArgmaxThreads, 0}, args);
    synchronize("sinter_argmax");
    const std::vector<float> values = value.download<float>();
    const std::vector<int> indices = index.download<int>();
    bool right = true;
    for (int r = 0; r < rows; ++r) {
      const float *row = x.data() + size_t(r) * size_t(vocabulary);
      int at = 0;
      for (int i = 1; i < vocabulary && !std::isnan(row[at]); ++i)
        if (std::isnan(row[i]) || row[i] > row[at])
          at = i;
      right =
          right && indices[size_t(r)] == at && std::memcmp(&values[size_t(r)], &row[at], 4) == 0;
    }
    return right;
  }
};

} // namespace

void testArgmax(const Kernels &kernels, Report &report) {
  for (int vocabulary : {1, 5, 255, 256, 257, 1000, 65536, 151936})
    for (int rows : {1, 3, 16})
      for (int parts : {1, 8, 33}) {
        ArgmaxCase c(rows, vocabulary, parts);
        const std::string what = "argmax " + std::to_string(rows) + " x " +
                                 std::to_string(vocabulary) + " in " + std::to_string(parts);
        report.expect(c.ok(kernels), what);
        for (size_t i = 0; i < c.x.size(); i += 3)
          c.x[i] = 2; // ties
        report.expect(c.ok(kernels), what + ", ties");
        std::fill(c.x.begin(), c.x.end(), -INFINITY);
        report.expect(c.ok(kernels), what + ", all -inf");
        c.x[c.x.size() / 2] = NAN;
        report.expect(c.ok(kernels), what + ", NaN");
      }
  report.group("argmax");
}

void timeArgmax(const Kernels &kernels) {
  for (int rows : {1, 64}) {
    ArgmaxCase c(rows, 151936, rows == 1 ? 132 : 16);
    const Launch l{kernels.get("sinter_argmax", 0), rows * c.parts, kernels::kArgmaxThreads, 0,
                   true};
    const double us = graphMicroseconds(
                          [&](cudaStream_t stream) {
                            for (int i = 0; i < 32; ++i)
                              launch(l, c.args, stream);
                          },
                          9) /
                      32;
    std::printf("sinter_argmax %2d rows %8.2f us\n", rows, us);
  }
}

} // namespace sinter::test
