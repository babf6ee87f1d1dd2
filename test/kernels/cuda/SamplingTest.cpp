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
  Buffer logits, lists, value, index, feedback, sampling, changes;
  kernels::SampleArgs args{};

  explicit SamplingRun(SamplingCase &c)
      : c(c), logits(c.x.size() * 4), lists(size_t(c.rows * kSlices) * sizeof(kernels::SampleList)),
        value(size_t(c.rows) * 4), index(size_t(c.rows) * 4), feedback(size_t(c.rows) * 4),
        sampling(size_t(c.rows) * sizeof(SinterSampling)), changes(size_t(c.rows) * rowChanges()) {
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

  /// Bytes for the edits and the mask of a row.
  size_t rowChanges() const {
    return (SamplingCase::kHistory + 8) * sizeof(SinterTokenEdit) + size_t(c.vocabulary) / 8 + 32;
  }

  void upload() {
    logits.upload(c.x.data(), c.x.size() * 4);
    std::vector<SinterSampling> rows = c.sampling;
    std::vector<char> bytes(changes.bytes());
    size_t used = 0;
    const auto place = [&](auto &pointer, size_t count) {
      if (pointer && count > 0)
        std::memcpy(bytes.data() + used, pointer, count * sizeof *pointer);
      if (pointer)
        pointer =
            reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(changes.as<char>() + used);
      used += (count * sizeof *pointer + 15) / 16 * 16;
    };
    for (SinterSampling &row : rows) {
      place(row.edits, row.num_edits);
      place(row.allowed, row.allowed ? (size_t(c.vocabulary) + 31) / 32 : 0);
    }
    changes.upload(bytes.data(), bytes.size());
    sampling.upload(rows.data(), rows.size() * sizeof(SinterSampling));
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

namespace {

/// What the rows are drawn with in timings.
enum class Changes { None, Edits, Masks };

/// Microseconds of both kernels, and of bringing the logits back where they would not stay theirs.
double timeChanges(const Kernels &kernels, int rows, Changes changes) {
  SamplingCase c(rows, 151936);
  for (size_t r = 0; r < c.params.size(); ++r) {
    SamplingParams &params = c.params[r];
    SamplingPast &past = c.past[r];
    params.temperature = 0.6, params.topK = 20, params.topP = 0.95;
    params.repetitionPenalty = changes == Changes::Edits ? 1.1 : 1;
    c.sampling[r] = params.forDevice(r);
    for (int i = 0; i < 300; ++i)
      past.history.push_back(i * 499 % c.vocabulary);
    past.edits.describe(params, past.history, past.history.size(), c.sampling[r]);
    past.allowed.assign(size_t(c.vocabulary) / 32, 0x10010001);
    if (changes == Changes::Masks)
      c.sampling[r].allowed = past.allowed.data();
  }
  SamplingRun run(c);
  run.upload();
  const Buffer original(c.x);
  Launch top = run.top(kernels, std::min(rows * kSlices, 1024)), draw = run.draw(kernels, rows);
  draw.overlap = true; // behind a copy nothing starts early
  const auto time = [&](bool kernelsToo) {
    return graphMicroseconds(
               [&](cudaStream_t stream) {
                 for (int i = 0; i < 32; ++i) {
                   check(cudaMemcpyAsync(run.logits.as(), original.as(), original.bytes(),
                                         cudaMemcpyDeviceToDevice, stream),
                         "copy");
                   if (kernelsToo) {
                     launch(top, run.args, stream);
                     launch(draw, run.args, stream);
                   }
                 }
               },
               9) /
           32;
  };
  return time(true) - time(false);
}

} // namespace

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
    std::printf("  beside a copy: unchanged %6.2f us, 300 edits %6.2f us, masks %6.2f us\n",
                timeChanges(kernels, rows, Changes::None),
                timeChanges(kernels, rows, Changes::Edits),
                timeChanges(kernels, rows, Changes::Masks));
  }
}

} // namespace sinter::test
