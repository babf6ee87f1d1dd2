//===- GpuAttention.cpp ---------------------------------------------------===//
#include "GpuAttention.h"

#include "Bars.h"

#include "runtime/cli/Session.h"
#include "runtime/cli/TargetChoice.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace sinter {
namespace {

constexpr const char *kAttention = "attention";
constexpr const char *kNoGpu =
    "attention alone is measured on GPUs; decode --profile shows it here";
constexpr uint32_t kReplays = 30;
constexpr uint32_t kWarmUp = 4, kSteps = 8; ///< decode steps; those after the first are restricted

struct Line {
  std::string name;
  bool decode = false;
  double seconds = 0; ///< of all layers
  StepCost cost;

  double bandwidth() const { return double(cost.bytes) / seconds; }
  double rate() const { return double(cost.flops) / seconds; }
};

void leaveOnlyAttention(Session &session) {
  session.cuda->restrictTo({kAttention, "decode_plan", "prefill_plan"});
}

Status run(Session &session, std::span<const GenerationRequest> requests,
           const GeneratorOptions &loop) {
  constexpr uint64_t kShuffleSeed = 1;
  PageAllocator allocator(session.executor->numPages(), kShuffleSeed);
  Generator generator(*session.executor, allocator, loop);
  SINTER_ASSIGN_OR_RETURN(const auto generations, generator.run(requests, {}));
  return firstFailure(generations);
}

/// What a decode step's attention is called: with norm, rotation and cache write where its kernels
/// do them on the way (alone with --disable-pass fuse-qk-norm-rope-write, --batch-invariant and
/// caches of another type).
std::string decodeKind(const Manifest &manifest) {
  const bool fromQkv =
      std::any_of(manifest.kernels.begin(), manifest.kernels.end(),
                  [](const auto &kernel) { return kernel.name.rfind("attention_qkv_", 0) == 0; });
  return fromQkv ? "attention-decode-qkv" : "attention-decode";
}

Result<Line> measureDecode(const BenchOptions &options, Session &session, uint32_t batch,
                           uint32_t context) {
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < batch; ++i)
    requests.push_back(makeBenchRequest(session.manifest(), context, kSteps + 1, i));
  GeneratorOptions loop;
  loop.prefillChunk = prefillChunk(options, session);
  uint32_t decoded = 0;
  loop.onStep = [&](const StepRecord &step) {
    if (step.decode && ++decoded == kWarmUp)
      leaveOnlyAttention(session);
  };
  const Status ran = run(session, requests, loop);
  Line line{rowName(decodeKind(session.manifest()), session.manifest()) + "/b" +
                std::to_string(batch) + "/c" + std::to_string(context),
            true, 0, session.executor->lastCost(kAttention)};
  if (ran) {
    SINTER_ASSIGN_OR_RETURN(line.seconds, session.cuda->measureReplay(kReplays));
  }
  session.cuda->restrictTo({});
  SINTER_RETURN_IF_ERROR(ran);
  return line;
}

Result<Line> measurePrefill(const BenchOptions &options, Session &session, uint32_t length) {
  const GenerationRequest request = makeBenchRequest(session.manifest(), length, 1, 0);
  Line line{rowName("attention-prefill", session.manifest()) + "/t" + std::to_string(length),
            false,
            0,
            {}};
  GeneratorOptions loop;
  loop.prefillChunk = prefillChunk(options, session);
  SINTER_RETURN_IF_ERROR(run(session, {&request, 1}, loop)); // its token stays where it is read
  Status replayed;
  loop.onStep = [&](const StepRecord &) {
    const Result<double> seconds = session.cuda->measureReplay(kReplays);
    if (!seconds) {
      replayed = seconds.status();
      return;
    }
    const StepCost cost = session.executor->lastCost(kAttention);
    line.seconds += *seconds;
    line.cost.bytes += cost.bytes;
    line.cost.flops += cost.flops;
  };
  leaveOnlyAttention(session);
  const Status ran = run(session, {&request, 1}, loop);
  session.cuda->restrictTo({});
  SINTER_RETURN_IF_ERROR(ran);
  SINTER_RETURN_IF_ERROR(replayed);
  return line;
}

void print(const std::vector<Line> &lines, double bandwidth, const Session &session) {
  const Manifest &manifest = session.manifest();
  std::printf("%s: %s, %s; read bandwidth %.0f GB/s\n", manifest.model.name.c_str(),
              typesOf(manifest).c_str(), session.device->name().c_str(), bandwidth * 1e-9);
  std::printf("%-36s %10s %9s %10s\n", "", "us/layer", "GB/s", "TFLOP/s");
  for (const Line &line : lines)
    std::printf("%-36s %10.2f %9.0f %10.1f\n", line.name.c_str(),
                line.seconds / double(manifest.kv.layers) * 1e6, line.bandwidth() * 1e-9,
                line.rate() * 1e-12);
}

Status keepRecords(const BenchOptions &options, const std::vector<Line> &lines, double bandwidth,
                   const Session &session) {
  if (options.json.empty())
    return Status::ok();
  const std::string hardware = session.device->name(), commit = session.manifest().compilerBuild;
  std::vector<BenchRecord> records;
  const auto add = [&](const std::string &name, double value, const char *unit,
                       std::optional<double> floor) {
    records.push_back({name, value, unit, floor, {}, hardware, commit});
  };
  for (const Line &line : lines) {
    if (!line.decode) {
      const double peak = tensorPeakOf(hardware) * 1e-12;
      add(line.name, line.rate() * 1e-12, "TFLOP/s", peak > 0 ? std::optional(peak) : std::nullopt);
      continue;
    }
    const double perLayer = 1e6 / double(session.manifest().kv.layers);
    std::optional<double> floor, most;
    if (bandwidth > 0)
      floor = double(line.cost.bytes) / bandwidth * perLayer, most = bandwidth * 1e-9;
    add(line.name, line.seconds * perLayer, "us", floor);
    add(line.name + "/bandwidth", line.bandwidth() * 1e-9, "GB/s", most);
  }
  return mergeRecords(options.json, records);
}

} // namespace

Result<int> benchAttention(const BenchOptions &options) {
  if (options.noGraph)
    return invalidArgument("--no-graph: attention alone is a graph that is replayed");
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(options.model,
                                        ignored)) { // known before anything is compiled
    SINTER_ASSIGN_OR_RETURN(
        const std::string target,
        chooseTarget(options.target, options.device.value_or(0), [](auto &) {}));
    if (target.rfind(kCudaTarget, 0) != 0)
      return invalidArgument(kNoGpu);
  }
  const uint64_t batch = *std::max_element(options.batches.begin(), options.batches.end());
  const uint64_t context =
      *std::max_element(options.contexts.begin(), options.contexts.end()) + kSteps + 1;
  const uint64_t length = *std::max_element(options.lengths.begin(), options.lengths.end()) + 1;
  SINTER_ASSIGN_OR_RETURN(Session session,
                          openBench(options, std::max(context, (length + batch - 1) / batch), batch,
                                    std::max(context, length)));
  if (!session.cuda)
    return invalidArgument(kNoGpu);
  SINTER_ASSIGN_OR_RETURN(const double bandwidth, session.device->measureReadBandwidth());
  std::vector<Line> lines;
  for (const uint32_t b : options.batches)
    for (const uint32_t c : options.contexts) {
      SINTER_ASSIGN_OR_RETURN(Line line, measureDecode(options, session, b, c));
      lines.push_back(std::move(line));
    }
  for (const uint32_t l : options.lengths) {
    SINTER_ASSIGN_OR_RETURN(Line line, measurePrefill(options, session, l));
    lines.push_back(std::move(line));
  }
  print(lines, bandwidth, session);
  SINTER_RETURN_IF_ERROR(keepRecords(options, lines, bandwidth, session));
  return 0;
}

} // namespace sinter
