//===- Bench.cpp ----------------------------------------------------------===//
#include "Bench.h"

#include "GpuBench.h"

#include "runtime/cli/CompileCache.h"
#include "runtime/cli/Quantity.h"
#include "runtime/cli/Session.h"
#include "runtime/cli/TargetChoice.h"
#include "runtime/device/cpu/MachineSpeed.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace sinter {
namespace {

void say(const std::string &line) { std::fprintf(stderr, "-- %s\n", line.c_str()); }

/// The ceilings of this machine, in bytes and operations per second.
struct Ceilings {
  double bandwidth = 0;
  double flops = 0;

  double floorSeconds(const StepCost &cost) const {
    return std::max(double(cost.bytes) / bandwidth, double(cost.flops) / flops);
  }
};

/// Keeps the best of what it saw before: other load on the machine only ever lowers a ceiling.
Status measure(Session &session, Ceilings &ceilings) {
  ThreadPool &pool = session.cpu->pool();
  SINTER_ASSIGN_OR_RETURN(const double bandwidth, measureReadBandwidth(pool));
  ceilings.bandwidth = std::max(ceilings.bandwidth, bandwidth);
  ceilings.flops = std::max(ceilings.flops, measureFmaPeak(pool, session.device->isa()));
  return Status::ok();
}

Result<ArtifactFile> openModel(const BenchOptions &options) {
  std::error_code ignored;
  CompileOptions compile;
  compile.dtype = options.dtype;
  compile.useCache = !options.noCache;
  compile.say = say;
  const bool directory = std::filesystem::is_directory(options.model, ignored);
  const bool shape = !std::filesystem::exists(options.model, ignored) &&
                     options.model.find('/') == std::string::npos &&
                     options.model.find(".sinter") == std::string::npos;
  if (directory || shape) {
    compile.target =
        options.isa.empty() ? chooseTarget(options.target, options.device, say) : options.target;
    return directory ? compileDirectory(options.model, compile)
                     : compileNamedShape(options.model, compile);
  }
  if (!options.dtype.empty() || options.noCache || !options.target.empty())
    return invalidArgument("--dtype, --target and --no-cache are for compiling, " + options.model +
                           " is compiled already");
  return ArtifactFile::open(options.model);
}

} // namespace

Result<Session> openBench(const BenchOptions &options, uint64_t positions, uint64_t sequences) {
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(checkRecords(options.json));
  SINTER_ASSIGN_OR_RETURN(ArtifactFile file, openModel(options));
  SessionOptions session;
  const bool noCheckpoint = file.manifest().sourceFiles.empty();
  SINTER_ASSIGN_OR_RETURN(
      session.weights,
      parseWeightOptions(options.weights.empty() && noCheckpoint ? "random:1" : options.weights));
  session.cpu.threads = options.threads;
  if (!options.isa.empty())
    session.cpu.isa = options.isa == "v3" ? 3 : 4;
  session.cuda.device = options.device;
  session.cuda.graphs = !options.noGraph;
  session.cuda.programmaticLaunch = !options.noPdl;
  session.say = say;
  session.positions = positions;
  session.sequences = sequences;
  if (positions > file.manifest().model.maxPosition)
    return invalidArgument(std::to_string(positions) + " positions are more than the model's " +
                           std::to_string(file.manifest().model.maxPosition));
  return openSession(std::move(file), session);
}

uint32_t prefillChunk(const BenchOptions &options, const Session &session) {
  return options.chunk ? options.chunk : defaultPrefillChunk(session);
}

std::string shortName(const Manifest &manifest) {
  const std::string &name = manifest.model.name;
  constexpr std::string_view kFamily = "qwen3-";
  return name.compare(0, kFamily.size(), kFamily) == 0 ? name.substr(kFamily.size()) : name;
}

GenerationRequest makeBenchRequest(const Manifest &manifest, uint32_t length, uint32_t tokens,
                                   uint32_t start) {
  GenerationRequest request;
  for (uint32_t i = 0; i < length; ++i)
    request.prompt.push_back(
        int32_t((uint64_t(i) * 7919 + start * 104729 + 17) % manifest.model.vocab));
  request.maxTokens = tokens;
  request.sampling.temperature = 0;
  request.ignoreEos = true;
  return request;
}

Status firstFailure(const std::vector<Generation> &generations) {
  for (const Generation &generation : generations)
    SINTER_RETURN_IF_ERROR(generation.status);
  return Status::ok();
}

namespace {

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, size_t(q * double(values.size())))];
}

struct Line {
  std::string name;
  double median = 0, worst = 0; ///< seconds
  double tokensPerSecond = 0;
  StepCost cost;
  double bar = 0; ///< share of the roofline that is asked for; 0: none
};

void printLines(const std::vector<Line> &lines, const Ceilings &ceilings, const Session &session) {
  std::printf("%s: %s, %s\n", session.manifest().model.name.c_str(),
              std::string(dtypeName(session.manifest().dtype)).c_str(),
              session.device->name().c_str());
  std::printf("read bandwidth %.1f GB/s, FMA peak %.0f GFLOP/s\n", ceilings.bandwidth * 1e-9,
              ceilings.flops * 1e-9);
  std::printf("%-26s %10s %10s %9s %10s %8s %9s %10s\n", "", "ms", "p99 ms", "tok/s", "bytes",
              "GB/s", "GFLOP/s", "roofline");
  for (const Line &line : lines)
    std::printf("%-26s %10.3f %10.3f %9.1f %10s %8.1f %9.1f %8.0f %%\n", line.name.c_str(),
                line.median * 1e3, line.worst * 1e3, line.tokensPerSecond,
                formatBytes(double(line.cost.bytes)).c_str(),
                double(line.cost.bytes) / line.median * 1e-9,
                double(line.cost.flops) / line.median * 1e-9,
                100 * ceilings.floorSeconds(line.cost) / line.median);
}

Status keepRecords(const BenchOptions &options, const std::vector<Line> &lines,
                   const Ceilings &ceilings, const Session &session) {
  if (options.json.empty())
    return Status::ok();
  const std::string hardware = session.device->name(), commit = session.manifest().compilerBuild;
  std::vector<BenchRecord> records = {
      {"machine/read-bandwidth", ceilings.bandwidth * 1e-9, "GB/s", {}, {}, hardware, commit},
      {"machine/fma-peak", ceilings.flops * 1e-9, "GFLOP/s", {}, {}, hardware, commit}};
  for (const Line &line : lines) {
    const double floor = ceilings.floorSeconds(line.cost) * 1e3;
    std::optional<double> bar;
    if (line.bar > 0)
      bar = floor / line.bar;
    records.push_back({line.name, line.median * 1e3, "ms", floor, bar, hardware, commit});
  }
  return mergeRecords(options.json, records);
}

Result<Line> decodeOnce(const BenchOptions &options, Session &session, uint32_t batch,
                        uint32_t context) {
  constexpr uint32_t kWarmUp = 2;
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < batch; ++i)
    requests.push_back(
        makeBenchRequest(session.manifest(), context, options.tokens + kWarmUp + 1, i));
  PageAllocator allocator(session.executor->numPages());
  Generator generator(*session.executor, allocator, {prefillChunk(options, session)});
  SINTER_ASSIGN_OR_RETURN(const auto generations, generator.run(requests, {}));
  SINTER_RETURN_IF_ERROR(firstFailure(generations));
  std::vector<double> seconds;
  Line line;
  for (const StepRecord &step : generator.steps()) {
    if (!step.decode)
      continue;
    seconds.push_back(step.seconds);
    if (seconds.size() == kWarmUp + options.tokens / 2)
      line.cost = step.cost; // of the middle step, as context grows
  }
  seconds.erase(seconds.begin(), seconds.begin() + kWarmUp);
  line.name = "decode/" + shortName(session.manifest()) + "/b" + std::to_string(batch) + "/c" +
              std::to_string(context);
  line.median = quantile(seconds, 0.5);
  line.worst = quantile(seconds, 0.99);
  line.tokensPerSecond = batch / line.median;
  line.bar = batch == 1 && context == 128 ? 0.85 : 0;
  return line;
}

Result<Line> prefillOnce(const BenchOptions &options, Session &session, uint32_t length) {
  std::vector<double> seconds;
  Line line;
  for (uint32_t i = 0; i < options.repeats + 1; ++i) {
    const GenerationRequest request = makeBenchRequest(session.manifest(), length, 1, i);
    PageAllocator allocator(session.executor->numPages());
    Generator generator(*session.executor, allocator, {prefillChunk(options, session)});
    SINTER_ASSIGN_OR_RETURN(const auto generations, generator.run({&request, 1}, {}));
    SINTER_RETURN_IF_ERROR(firstFailure(generations));
    double sum = 0;
    line.cost = {};
    for (const StepRecord &step : generator.steps()) {
      sum += step.seconds;
      line.cost.bytes += step.cost.bytes;
      line.cost.flops += step.cost.flops;
    }
    if (i > 0) // the first touches memory for the first time
      seconds.push_back(sum);
  }
  line.name = "prefill/" + shortName(session.manifest()) + "/t" + std::to_string(length);
  line.median = quantile(seconds, 0.5);
  line.worst = quantile(seconds, 0.99);
  line.tokensPerSecond = length / line.median;
  line.bar = length == 512 ? 0.55 : 0;
  return line;
}

} // namespace

Result<int> benchDecode(const BenchOptions &options) {
  const uint64_t batch = *std::max_element(options.batches.begin(), options.batches.end());
  const uint64_t context = *std::max_element(options.contexts.begin(), options.contexts.end());
  SINTER_ASSIGN_OR_RETURN(Session session, openBench(options, context + options.tokens + 5, batch));
  if (session.cuda) {
    SINTER_RETURN_IF_ERROR(benchDecodeOnGpu(options, session));
    return 0;
  }
  Ceilings ceilings;
  SINTER_RETURN_IF_ERROR(measure(session, ceilings));
  std::vector<Line> lines;
  for (const uint32_t b : options.batches)
    for (const uint32_t c : options.contexts) {
      SINTER_ASSIGN_OR_RETURN(Line line, decodeOnce(options, session, b, c));
      lines.push_back(std::move(line));
    }
  SINTER_RETURN_IF_ERROR(measure(session, ceilings));
  printLines(lines, ceilings, session);
  SINTER_RETURN_IF_ERROR(keepRecords(options, lines, ceilings, session));
  return 0;
}

Result<int> benchPrefill(const BenchOptions &options) {
  const uint64_t length = *std::max_element(options.lengths.begin(), options.lengths.end());
  SINTER_ASSIGN_OR_RETURN(Session session, openBench(options, length, 1));
  if (session.cuda) {
    SINTER_RETURN_IF_ERROR(benchPrefillOnGpu(options, session));
    return 0;
  }
  Ceilings ceilings;
  SINTER_RETURN_IF_ERROR(measure(session, ceilings));
  std::vector<Line> lines;
  for (const uint32_t l : options.lengths) {
    SINTER_ASSIGN_OR_RETURN(Line line, prefillOnce(options, session, l));
    lines.push_back(std::move(line));
  }
  SINTER_RETURN_IF_ERROR(measure(session, ceilings));
  printLines(lines, ceilings, session);
  SINTER_RETURN_IF_ERROR(keepRecords(options, lines, ceilings, session));
  return 0;
}

} // namespace sinter
