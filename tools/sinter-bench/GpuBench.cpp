//===- GpuBench.cpp -------------------------------------------------------===//
#include "GpuBench.h"

#include "Bars.h"

#include "runtime/cli/Quantity.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

struct GpuLine {
  std::string name;
  double median = 0, worst = 0;  ///< seconds
  std::optional<double> replay;  ///< seconds of the last step's graph
  std::optional<double> hostGap; ///< share of the last steps that was not the graph's
  double tokensPerSecond = 0;
  StepCost cost;
  bool decode = false;
};

double at(std::vector<double> values, double quantile) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, size_t(quantile * double(values.size())))];
}

void addTimes(GpuLine &line, const std::vector<double> &seconds, double tokens) {
  line.median = at(seconds, 0.5);
  line.worst = at(seconds, 0.99);
  line.tokensPerSecond = tokens / line.median;
}

std::string percent(const std::optional<double> &share) {
  char text[16] = "";
  if (share)
    std::snprintf(text, sizeof text, "%.1f %%", 100 * *share);
  return text;
}

/// Seconds: decode is bound by memory, prefill by arithmetic.
std::optional<double> floorOf(const GpuLine &line, double bandwidth, const std::string &hardware) {
  const double speed = line.decode ? bandwidth : tensorPeakOf(hardware);
  if (speed <= 0)
    return std::nullopt;
  return double(line.decode ? line.cost.bytes : line.cost.flops) / speed;
}

void printLines(const std::vector<GpuLine> &lines, double bandwidth, const Session &session) {
  std::printf("%s: %s, %s\n", session.manifest().model.name.c_str(),
              typesOf(session.manifest()).c_str(), session.device->name().c_str());
  if (bandwidth > 0)
    std::printf("read bandwidth %.0f GB/s (a kernel of 16-byte loads), FMA peak not measured\n",
                bandwidth * 1e-9);
  else
    std::printf("read bandwidth not measured: too little memory is free\n");
  std::printf("%-26s %10s %10s %10s %9s %10s %10s %8s %9s %9s\n", "", "ms", "p99 ms", "graph ms",
              "host gap", "tok/s", "bytes", "GB/s", "TFLOP/s", "of floor");
  for (const GpuLine &line : lines) {
    char replay[32] = "";
    if (line.replay)
      std::snprintf(replay, sizeof replay, "%.4f", *line.replay * 1e3);
    const std::optional<double> floor = floorOf(line, bandwidth, session.device->name());
    std::printf("%-26s %10.4f %10.4f %10s %9s %10.1f %10s %8.0f %9.1f %9s\n", line.name.c_str(),
                line.median * 1e3, line.worst * 1e3, replay, percent(line.hostGap).c_str(),
                line.tokensPerSecond, formatBytes(double(line.cost.bytes)).c_str(),
                double(line.cost.bytes) / line.median * 1e-9,
                double(line.cost.flops) / line.median * 1e-12,
                percent(floor ? std::optional(*floor / line.median) : floor).c_str());
  }
}

Status keepRecords(const BenchOptions &options, const std::vector<GpuLine> &lines, double bandwidth,
                   const Session &session) {
  if (options.json.empty())
    return Status::ok();
  const std::string hardware = session.device->name(), commit = session.manifest().compilerBuild;
  std::vector<BenchRecord> records;
  if (bandwidth > 0)
    records.push_back(
        {"machine/read-bandwidth", bandwidth * 1e-9, "GB/s", {}, {}, hardware, commit});
  for (const GpuLine &line : lines) {
    std::optional<double> floor = floorOf(line, bandwidth, hardware);
    if (floor)
      floor = *floor * 1e3;
    records.push_back({line.name, line.median * 1e3, "ms", floor, {}, hardware, commit});
    records.push_back({line.name + "/p99", line.worst * 1e3, "ms", floor, {}, hardware, commit});
    if (line.replay)
      records.push_back(
          {line.name + "/graph", *line.replay * 1e3, "ms", floor, {}, hardware, commit});
    if (line.hostGap)
      records.push_back(
          {line.name + "/host-gap", 100 * *line.hostGap, "%", {}, {}, hardware, commit});
  }
  return mergeRecords(options.json, records);
}

/// The graph alone, and how much longer the last steps took, which ran at the same context.
Status addReplay(GpuLine &line, const std::vector<double> &seconds, Session &session) {
  constexpr uint32_t kReplays = 50;
  constexpr size_t kLastSteps = 16;
  SINTER_ASSIGN_OR_RETURN(line.replay, session.cuda->measureReplay(kReplays));
  const std::vector<double> last(seconds.end() - ptrdiff_t(std::min(kLastSteps, seconds.size())),
                                 seconds.end());
  line.hostGap = std::max(1 - *line.replay / at(last, 0.5), 0.0);
  return Status::ok();
}

Result<GpuLine> decodeOnce(const BenchOptions &options, Session &session, uint32_t batch,
                           uint32_t context) {
  constexpr uint32_t kWarmUp = 4; // the graph is captured and its memory touched
  constexpr uint64_t kShuffleSeed = 1;
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < batch; ++i)
    requests.push_back(
        makeDecodeRequest(options, session.manifest(), context, options.tokens + kWarmUp + 1, i));
  PageAllocator allocator(session.executor->numPages(), kShuffleSeed);
  GeneratorOptions loop;
  loop.prefillChunk = prefillChunk(options, session);
  std::vector<double> seconds;
  GpuLine line;
  auto last = Clock::now();
  loop.onStep = [&](const StepRecord &step) { // from step to step: all that the loop does counts
    const auto now = Clock::now();
    if (step.decode)
      seconds.push_back(std::chrono::duration<double>(now - last).count());
    if (step.decode && seconds.size() == kWarmUp + options.tokens / 2)
      line.cost = step.cost; // of the middle step, as context grows
    last = now;
  };
  Generator generator(*session.executor, allocator, loop);
  SINTER_ASSIGN_OR_RETURN(const auto generations, generator.run(requests, {}));
  SINTER_RETURN_IF_ERROR(firstFailure(generations));
  seconds.erase(seconds.begin(), seconds.begin() + kWarmUp);
  line.decode = true;
  line.name = decodeName(options, session.manifest(), batch, context);
  addTimes(line, seconds, batch);
  if (!options.noGraph && !options.profile) // which starts every kernel on its own
    SINTER_RETURN_IF_ERROR(addReplay(line, seconds, session));
  return line;
}

Result<GpuLine> prefillOnce(const BenchOptions &options, Session &session, uint32_t length) {
  std::vector<double> seconds;
  GpuLine line;
  for (uint32_t i = 0; i < options.repeats + 1; ++i) {
    const GenerationRequest request = makeBenchRequest(session.manifest(), length, 1, i);
    PageAllocator allocator(session.executor->numPages());
    GeneratorOptions loop;
    loop.prefillChunk = prefillChunk(options, session);
    Generator generator(*session.executor, allocator, loop);
    SINTER_ASSIGN_OR_RETURN(const auto generations, generator.run({&request, 1}, {}));
    SINTER_RETURN_IF_ERROR(firstFailure(generations));
    double sum = 0;
    line.cost = {};
    for (const StepRecord &step : generator.steps()) {
      sum += step.seconds;
      line.cost.bytes += step.cost.bytes;
      line.cost.flops += step.cost.flops;
    }
    if (i > 0) // the first captures the graphs
      seconds.push_back(sum);
  }
  line.name = rowName("prefill", session.manifest()) + "/t" + std::to_string(length);
  addTimes(line, seconds, length);
  return line;
}

/// Prints and keeps the lines with the better of two measurements of the machine around them.
Status finish(const BenchOptions &options, const std::vector<GpuLine> &lines, double before,
              Session &session) {
  SINTER_ASSIGN_OR_RETURN(const double after, session.device->measureReadBandwidth());
  const double bandwidth = std::max(before, after);
  printLines(lines, bandwidth, session);
  return keepRecords(options, lines, bandwidth, session);
}

} // namespace

Status benchDecodeOnGpu(const BenchOptions &options, Session &session) {
  SINTER_ASSIGN_OR_RETURN(const double bandwidth, session.device->measureReadBandwidth());
  std::vector<GpuLine> lines;
  for (const uint32_t batch : options.batches)
    for (const uint32_t context : options.contexts) {
      SINTER_ASSIGN_OR_RETURN(GpuLine line, decodeOnce(options, session, batch, context));
      lines.push_back(std::move(line));
    }
  return finish(options, lines, bandwidth, session);
}

Status benchPrefillOnGpu(const BenchOptions &options, Session &session) {
  SINTER_ASSIGN_OR_RETURN(const double bandwidth, session.device->measureReadBandwidth());
  std::vector<GpuLine> lines;
  for (const uint32_t length : options.lengths) {
    SINTER_ASSIGN_OR_RETURN(GpuLine line, prefillOnce(options, session, length));
    lines.push_back(std::move(line));
  }
  return finish(options, lines, bandwidth, session);
}

} // namespace sinter
