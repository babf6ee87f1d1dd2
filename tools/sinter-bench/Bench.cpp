//===- Bench.cpp ----------------------------------------------------------===//
#include "Bench.h"

#include "GpuBench.h"
#include "Probes.h"

#include "runtime/cli/CompileCache.h"
#include "runtime/cli/Quantity.h"
#include "runtime/cli/Session.h"
#include "runtime/cli/TargetChoice.h"
#include "sinter/Support/CpuIsa.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace sinter {
namespace {

void say(const std::string &line) { std::fprintf(stderr, "-- %s\n", line.c_str()); }

Result<ArtifactFile> openModel(const BenchOptions &options) {
  std::error_code ignored;
  CompileOptions compile;
  compile.dtype = options.dtype;
  compile.kvCacheDtype = options.kvCacheDtype;
  compile.useCache = !options.noCache;
  compile.say = say;
  const bool directory = std::filesystem::is_directory(options.model, ignored);
  const bool shape = !std::filesystem::exists(options.model, ignored) &&
                     options.model.find('/') == std::string::npos &&
                     options.model.find(".sinter") == std::string::npos;
  if (directory || shape) {
    compile.target = options.target;
    SINTER_RETURN_IF_ERROR(checkIsa(options.target, cpuIsaFromFlag(options.isa)));
    if (options.isa.empty() && !options.noDataParallel) { // else it is for a CPU
      SINTER_ASSIGN_OR_RETURN(compile.target,
                              chooseTarget(options.target, options.device.value_or(0), say));
    }
    return directory ? compileDirectory(options.model, compile)
                     : compileNamedShape(options.model, compile);
  }
  if (!options.dtype.empty() || !options.kvCacheDtype.empty() || options.noCache ||
      !options.target.empty())
    return invalidArgument(
        "--dtype, --kv-cache-dtype, --target and --no-cache are for compiling, " + options.model +
        " is compiled already");
  return ArtifactFile::open(options.model);
}

} // namespace

Result<Session> openBench(const BenchOptions &options, uint64_t positions, uint64_t sequences,
                          uint64_t longest) {
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(checkRecords(options.json));
  SessionOptions session;
  SINTER_ASSIGN_OR_RETURN(session.weights, parseWeightOptions(options.weights));
  SINTER_ASSIGN_OR_RETURN(ArtifactFile file, openModel(options));
  if (options.weights.empty() && file.manifest().sourceFiles.empty())
    session.weights.randomSeed = 1; // there is no checkpoint
  session.cpu.threads = options.threads;
  session.cpu.dataParallel = !options.noDataParallel;
  if (!options.isa.empty())
    session.cpu.isa = cpuIsaFromFlag(options.isa);
  session.device = options.device;
  session.cuda.graphs = !options.noGraph;
  session.cuda.programmaticLaunch = !options.noPdl;
  session.say = say;
  session.positions = positions;
  session.sequences = sequences;
  longest = longest ? longest : positions;
  if (longest > file.manifest().model.maxPosition)
    return invalidArgument(
        std::to_string(longest) + " positions are more than the model's " +
        std::to_string(file.manifest().model.maxPosition) +
        ": shorten --context, --length, --prompt, --prompt-length or --max-length");
  return openSession(std::move(file), session);
}

void BenchProfile::begin() {
  if (!wanted_)
    return;
  profile_ = {};
  session_->executor->setProfile(&profile_);
}

void BenchProfile::print(const std::string &name, const DeviceSpeed &device) {
  if (!wanted_)
    return;
  session_->executor->setProfile(nullptr);
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", name.c_str(),
               profileTable(profile_, session_->manifest(), device).c_str());
}

Status BenchProfile::print(const std::string &name) {
  if (!wanted_)
    return Status::ok();
  session_->executor->setProfile(nullptr);
  DeviceSpeed device;
  SINTER_ASSIGN_OR_RETURN(device.readBandwidth, session_->device->measureReadBandwidth());
  SINTER_ASSIGN_OR_RETURN(device.fmaPeak, session_->device->measureFmaPeak());
  print(name, device);
  return Status::ok();
}

uint32_t prefillChunk(const BenchOptions &options, const Session &session) {
  return options.chunk ? options.chunk : defaultPrefillChunk(session);
}

std::string typesOf(const Manifest &manifest) {
  std::string types(dtypeName(manifest.dtype));
  if (manifest.kv.dtype != manifest.dtype)
    types += ", " + std::string(dtypeName(manifest.kv.dtype)) + " cache";
  return types;
}

BenchMachine machineOf(const Session &session) {
  return {session.device->name(), session.manifest().compilerBuild};
}

std::string shortName(const std::string &model) {
  constexpr std::string_view kFamily = "qwen3-";
  return model.compare(0, kFamily.size(), kFamily) == 0 ? model.substr(kFamily.size()) : model;
}

std::string rowName(std::string kind, const Manifest &manifest) {
  // On the CPU it costs nothing and is always so.
  if (manifest.batchInvariant && manifest.target == kCudaTarget)
    kind += "-batch-invariant";
  if (manifest.kv.dtype != manifest.dtype)
    kind += "-" + std::string(dtypeName(manifest.kv.dtype));
  return kind + "/" + shortName(manifest.model.name);
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

GenerationRequest makeDecodeRequest(const BenchOptions &options, const Manifest &manifest,
                                    uint32_t length, uint32_t tokens, uint32_t start) {
  GenerationRequest request = makeBenchRequest(manifest, length, tokens, start);
  request.sampling.temperature = options.temperature;
  request.sampling.topK = options.topK;
  request.sampling.topP = options.topP;
  request.sampling.repetitionPenalty = options.repetitionPenalty;
  request.sampling.seed = start;
  return request;
}

std::string drawSuffix(const BenchOptions &options) {
  return std::string(options.temperature > 0 ? "/sampled" : "") +
         (options.repetitionPenalty != 1 ? "/penalized" : "");
}

std::string decodeName(const BenchOptions &options, const Manifest &manifest, uint32_t batch,
                       uint32_t context) {
  return rowName("decode", manifest) + "/b" + std::to_string(batch) + "/c" +
         std::to_string(context) + drawSuffix(options);
}

/// The error of the first request that failed.
Status firstFailure(const std::vector<Generation> &generations) {
  for (const Generation &generation : generations)
    SINTER_RETURN_IF_ERROR(generation.status);
  return Status::ok();
}

namespace {

struct Line {
  std::string name;
  double median = 0, worst = 0; ///< seconds
  double share = 0;             ///< of the floor: the median of the pairs
  double tokensPerSecond = 0;
  StepCost cost;
  double bar = 0; ///< share that is asked for; 0: none

  Line(std::string name, const std::vector<Pair> &pairs, double tokens) : name(std::move(name)) {
    std::vector<double> seconds, shares;
    for (const Pair &pair : pairs) {
      seconds.push_back(pair.seconds);
      shares.push_back(pair.share());
    }
    median = quantile(seconds, 0.5);
    worst = quantile(seconds, 0.99);
    share = quantile(shares, 0.5);
    tokensPerSecond = tokens / median;
  }
};

std::string formatRange(const std::vector<double> &values, double unit) {
  char text[96];
  std::snprintf(text, sizeof text, "%.1f (%.1f to %.1f)", quantile(values, 0.5) * unit,
                quantile(values, 0) * unit, quantile(values, 1) * unit);
  return text;
}

void printLines(const std::vector<Line> &lines, const Probes &probes, const Session &session) {
  std::printf("%s: %s, %s\n", session.manifest().model.name.c_str(),
              typesOf(session.manifest()).c_str(), session.device->name().c_str());
  std::printf("read bandwidth %s GB/s, FMA peak %s GFLOP/s between the steps\n",
              formatRange(probes.bandwidths(), 1e-9).c_str(),
              formatRange(probes.flops(), 1e-9).c_str());
  std::printf("%-26s %10s %10s %9s %10s %8s %9s %10s\n", "", "ms", "p99 ms", "tok/s", "bytes",
              "GB/s", "GFLOP/s", "roofline");
  for (const Line &line : lines)
    std::printf("%-26s %10.3f %10.3f %9.1f %10s %8.1f %9.1f %8.0f %%\n", line.name.c_str(),
                line.median * 1e3, line.worst * 1e3, line.tokensPerSecond,
                formatBytes(double(line.cost.bytes)).c_str(),
                double(line.cost.bytes) / line.median * 1e-9,
                double(line.cost.flops) / line.median * 1e-9, 100 * line.share);
}

Status keepRecords(const BenchOptions &options, const std::vector<Line> &lines,
                   const Probes &probes, const Session &session) {
  if (options.json.empty())
    return Status::ok();
  const std::string hardware = session.device->name(), commit = session.manifest().compilerBuild;
  std::vector<BenchRecord> records = {{"machine/read-bandwidth",
                                       quantile(probes.bandwidths(), 0.5) * 1e-9,
                                       "GB/s",
                                       {},
                                       {},
                                       hardware,
                                       commit},
                                      {"machine/fma-peak",
                                       quantile(probes.flops(), 0.5) * 1e-9,
                                       "GFLOP/s",
                                       {},
                                       {},
                                       hardware,
                                       commit}};
  for (const Line &line : lines) {
    const double floor = line.share * line.median * 1e3; // so that floor / value is the share
    std::optional<double> bar;
    if (line.bar > 0)
      bar = floor / line.bar;
    records.push_back({line.name, line.median * 1e3, "ms", floor, bar, hardware, commit});
  }
  return mergeRecords(options.json, records);
}

/// What the probes between the steps have seen.
DeviceSpeed speedOf(const Probes &probes) {
  return {quantile(probes.bandwidths(), 0.5), quantile(probes.flops(), 0.5)};
}

Result<Line> decodeOnce(const BenchOptions &options, Session &session, Probes &probes,
                        uint32_t batch, uint32_t context) {
  constexpr uint32_t kWarmUp = 2;
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < batch; ++i)
    requests.push_back(
        makeDecodeRequest(options, session.manifest(), context, options.tokens + kWarmUp + 1, i));
  std::vector<Pair> pairs;
  StepCost middle; // of the middle step, as context grows
  BenchProfile profile(options, session);
  GeneratorOptions loop;
  loop.prefillChunk = prefillChunk(options, session);
  loop.onStep = [&](const StepRecord &step) {
    if (!step.decode)
      return;
    if (pairs.empty()) // the prompts are behind
      profile.begin();
    pairs.push_back(probes.pairWith(step.seconds, step.cost));
    if (pairs.size() == kWarmUp + options.tokens / 2)
      middle = step.cost;
  };
  PageAllocator allocator(session.executor->numPages());
  Generator generator(*session.executor, allocator, loop);
  probes.sample();
  SINTER_ASSIGN_OR_RETURN(const auto generations, generator.run(requests, {}));
  SINTER_RETURN_IF_ERROR(firstFailure(generations));
  pairs.erase(pairs.begin(), pairs.begin() + kWarmUp);
  Line line(decodeName(options, session.manifest(), batch, context), pairs, batch);
  line.cost = middle;
  profile.print(line.name, speedOf(probes));
  const bool plain = options.temperature == 0 && options.repetitionPenalty == 1;
  line.bar = batch == 1 && context == 128 && plain ? 0.85 : 0;
  return line;
}

Result<Line> prefillOnce(const BenchOptions &options, Session &session, Probes &probes,
                         uint32_t length) {
  std::vector<Pair> pairs;
  StepCost cost;
  BenchProfile profile(options, session);
  for (uint32_t i = 0; i < options.repeats + 1; ++i) {
    const GenerationRequest request = makeBenchRequest(session.manifest(), length, 1, i);
    if (i == 1)
      profile.begin();
    Pair whole;
    cost = {};
    GeneratorOptions loop;
    loop.prefillChunk = prefillChunk(options, session);
    loop.onStep = [&](const StepRecord &step) {
      const Pair pair = probes.pairWith(step.seconds, step.cost);
      whole.seconds += pair.seconds;
      whole.floor += pair.floor;
      cost.bytes += step.cost.bytes;
      cost.flops += step.cost.flops;
    };
    PageAllocator allocator(session.executor->numPages());
    Generator generator(*session.executor, allocator, loop);
    probes.sample();
    SINTER_ASSIGN_OR_RETURN(const auto generations, generator.run({&request, 1}, {}));
    SINTER_RETURN_IF_ERROR(firstFailure(generations));
    if (i > 0) // the first touches memory for the first time
      pairs.push_back(whole);
  }
  Line line(rowName("prefill", session.manifest()) + "/t" + std::to_string(length), pairs, length);
  line.cost = cost;
  profile.print(line.name, speedOf(probes));
  line.bar = length == 512 ? 0.55 : 0;
  return line;
}

/// What both modes end with.
Status finish(const BenchOptions &options, const std::vector<Line> &lines, const Probes &probes,
              const Session &session) {
  printLines(lines, probes, session);
  return keepRecords(options, lines, probes, session);
}

} // namespace

Result<int> benchDecode(const BenchOptions &options) {
  const uint64_t batch = *std::max_element(options.batches.begin(), options.batches.end());
  const uint64_t context = *std::max_element(options.contexts.begin(), options.contexts.end());
  SINTER_ASSIGN_OR_RETURN(Session session, openBench(options, context + options.tokens + 5, batch));
  if (session.cuda) {
    BenchProfile profile(options, session); // on GPUs decode steps have entry points of their own
    profile.begin();
    SINTER_RETURN_IF_ERROR(benchDecodeOnGpu(options, session));
    SINTER_RETURN_IF_ERROR(profile.print("all steps"));
    return 0;
  }
  SINTER_ASSIGN_OR_RETURN(Probes probes,
                          Probes::create(session.cpu->pool(), session.device->isa()));
  std::vector<Line> lines;
  for (const uint32_t b : options.batches)
    for (const uint32_t c : options.contexts) {
      SINTER_ASSIGN_OR_RETURN(Line line, decodeOnce(options, session, probes, b, c));
      lines.push_back(std::move(line));
    }
  SINTER_RETURN_IF_ERROR(finish(options, lines, probes, session));
  return 0;
}

Result<int> benchPrefill(const BenchOptions &options) {
  const uint64_t length = *std::max_element(options.lengths.begin(), options.lengths.end());
  SINTER_ASSIGN_OR_RETURN(Session session, openBench(options, length, 1));
  if (session.cuda) {
    BenchProfile profile(options, session); // on GPUs decode steps have entry points of their own
    profile.begin();
    SINTER_RETURN_IF_ERROR(benchPrefillOnGpu(options, session));
    SINTER_RETURN_IF_ERROR(profile.print("all steps"));
    return 0;
  }
  SINTER_ASSIGN_OR_RETURN(Probes probes,
                          Probes::create(session.cpu->pool(), session.device->isa()));
  std::vector<Line> lines;
  for (const uint32_t l : options.lengths) {
    SINTER_ASSIGN_OR_RETURN(Line line, prefillOnce(options, session, probes, l));
    lines.push_back(std::move(line));
  }
  SINTER_RETURN_IF_ERROR(finish(options, lines, probes, session));
  return 0;
}

} // namespace sinter
