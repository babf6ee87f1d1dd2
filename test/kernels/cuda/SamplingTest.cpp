//===- SamplingTest.cpp - tokens drawn on the GPU against the CPU's --------===//
#include "SamplingCase.h"
#include "Tests.h"

namespace sinter::test {

namespace {

constexpr int kSlices = kernels::kSampleSlices;
constexpr int kTopShared = int(sizeof(kernels::SampleTopShared));
constexpr int kDrawShared = int(sizeof(kernels::SampleDrawShared));

/// A case on the GPU.
struct SamplingRun {
  SamplingCase &c;
  Buffer logits, lists, value, index, feedback, sampling;
  kernels::SampleArgs args{};

  explicit SamplingRun(SamplingCase &c)
      : c(c), logits(c.x.size() * 4), lists(size_t(c.rows * kSlices) * sizeof(kernels::SampleList)),
        value(size_t(c.rows) * 4), index(size_t(c.rows) * 4), feedback(size_t(c.rows) * 4),
        sampling(size_t(c.rows) * sizeof(SinterSampling)) {
    args = {logits.as<float>(),
            lists.as<kernels::SampleList>(),
            value.as<float>(),
            index.as<int>(),
            feedback.as<int>(),
            sampling.as<SinterSampling>(),
            c.rows,
            c.vocabulary};
  }

  Launch top(const Kernels &kernels, int grid) const {
    return {kernels.get("sinter_sample_top", kTopShared), grid, kernels::kSampleThreads,
            kTopShared};
  }
  Launch draw(const Kernels &kernels, int grid) const {
    return {kernels.get("sinter_sample_draw", kDrawShared), grid, kernels::kSampleThreads,
            kDrawShared};
  }

  void upload() {
    logits.upload(c.x.data(), c.x.size() * 4);
    sampling.upload(c.sampling.data(), c.sampling.size() * sizeof(SinterSampling));
    for (Buffer *buffer : {&lists, &value, &index, &feedback})
      buffer->fill(0xff);
  }

  bool ok(const Kernels &kernels, bool finite, int topGrid, int drawGrid) {
    upload();
    launch(top(kernels, topGrid), args);
    launch(draw(kernels, drawGrid), args);
    synchronize("sinter_sample");
    return c.isRight({lists.download<kernels::SampleList>(), value.download<float>(),
                      index.download<int>(), feedback.download<int>()},
                     finite);
  }
};

void testShape(const Kernels &kernels, Report &report, int rows, int vocabulary) {
  SamplingCase c(rows, vocabulary);
  SamplingRun run(c);
  const std::string shape =
      "sampling " + std::to_string(rows) + " x " + std::to_string(vocabulary) + ", ";
  c.forEach(8, [&](const std::string &what, bool finite) {
    report.expect(run.ok(kernels, finite, std::min(rows * kSlices, 1024), rows), shape + what);
  });
  report.expect(run.ok(kernels, false, 7, 3), shape + "few blocks");
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
  testShape(kernels, report, 4, 100000); // more of a slice than fits in its memory
}

void timeSampling(const Kernels &kernels) {
  for (int rows : {1, 8, 32, 64}) {
    SamplingCase c(rows, 151936);
    for (size_t r = 0; r < c.params.size(); ++r) {
      c.params[r].temperature = 0.6, c.params[r].topK = 20, c.params[r].topP = 0.95;
      c.sampling[r] = c.params[r].forDevice(r);
    }
    SamplingRun run(c);
    run.upload();
    Launch top = run.top(kernels, std::min(rows * kSlices, 1024)), draw = run.draw(kernels, rows);
    top.overlap = draw.overlap = true;
    const auto time = [&](bool first, bool second) {
      return graphMicroseconds(
                 [&](cudaStream_t stream) {
                   for (int i = 0; i < 32; ++i) {
                     if (first)
                       launch(top, run.args, stream);
                     if (second)
                       launch(draw, run.args, stream);
                   }
                 },
                 9) /
             32;
    };
    const double topAlone = time(true, false); // leaves the lists
    std::printf("sinter_sample %2d rows: top %6.2f us, draw %6.2f us, both %6.2f us\n", rows,
                topAlone, time(false, true), time(true, true));
  }
}

} // namespace sinter::test
