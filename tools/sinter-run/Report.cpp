//===- Report.cpp ---------------------------------------------------------===//
#include "Report.h"

#include "runtime/cli/Quantity.h"
#include "runtime/model/Occupancy.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

namespace sinter {
namespace {

template <typename... Args> std::string format(const char *text, Args... args) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, text, args...);
  return buffer;
}

/// All prefill or all decode steps together.
struct Phase {
  double seconds = 0;
  uint64_t tokens = 0;
  StepCost cost;

  double rate() const { return seconds > 0 ? double(tokens) / seconds : 0; }
  double bandwidth() const { return seconds > 0 ? double(cost.bytes) / seconds : 0; }
};

Phase sumSteps(const std::vector<StepRecord> &steps, bool decode) {
  Phase phase;
  for (const StepRecord &step : steps)
    if (step.decode == decode) {
      phase.seconds += step.seconds;
      phase.tokens += step.tokens;
      phase.cost.bytes += step.cost.bytes;
      phase.cost.flops += step.cost.flops;
    }
  return phase;
}

const char *finishName(FinishReason reason) {
  switch (reason) {
  case FinishReason::None:
    break;
  case FinishReason::Eos:
    return "eos";
  case FinishReason::Length:
    return "length";
  case FinishReason::Stopped:
    return "stop";
  case FinishReason::Cancelled:
    return "cancelled";
  case FinishReason::Failed:
    return "failed";
  }
  return "none";
}

/// One line of the profile: launches of one kind.
struct ProfileRow {
  uint64_t calls = 0;
  uint64_t nanoseconds = 0;
  StepCost cost;
  const OpPlan *launch = nullptr; ///< the first; none in a sum
};

std::string lastPart(const std::string &name) { return name.substr(name.rfind('.') + 1); }

std::string formatRow(const std::string &name, const ProfileRow &row, const Measured &measured) {
  const double seconds = double(row.nanoseconds) * 1e-9;
  const double floor =
      std::max(measured.readBandwidth > 0 ? double(row.cost.bytes) / measured.readBandwidth : 0,
               measured.fmaPeak > 0 ? double(row.cost.flops) / measured.fmaPeak : 0);
  const double calls = double(std::max<uint64_t>(row.calls, 1));
  const bool known = seconds > 0 && !measured.tooBusy;
  return format("%-34s %7llu %10.2f %9s %8.1f %8.1f %7s %%", name.c_str(),
                static_cast<unsigned long long>(row.calls), seconds * 1e6 / calls,
                formatBytes(double(row.cost.bytes) / calls).c_str(),
                seconds > 0 ? double(row.cost.bytes) / seconds * 1e-9 : 0,
                seconds > 0 ? double(row.cost.flops) / seconds * 1e-9 : 0,
                known ? format("%.0f", 100 * floor / seconds).c_str() : "?");
}

constexpr const char *kGpuHeader = "   CTAs  regs   shared  CTAs/SM  occupancy   SMs";

/// What a launch makes of a GPU: CTAs, registers and shared memory of one, how many fit a
/// multiprocessor, the share of its warps that they are, and of the multiprocessors that have work.
std::string gpuColumns(const OpPlan &op, const Manifest &manifest) {
  const KernelPlan &kernel = manifest.kernels[op.kernel];
  const std::string isa = manifest.isas.empty() ? "" : manifest.isas.front();
  const Occupancy occupancy = occupancyOf(kernel, isa);
  const uint32_t shared = kernel.sharedBytes + kernel.staticSharedBytes;
  if (occupancy.ctasPerSm == 0)
    return format(" %6u     ? %8u        ?          ?     ?", op.grid, shared);
  return format(" %6u %5u %8u %8u %8.0f %% %3.0f %%", op.grid, kernel.registers, shared,
                occupancy.ctasPerSm, 100 * occupancy.warps,
                100 * busyMultiprocessors(op.grid, occupancy, isa));
}

std::string entryTable(const EntryPlan &entry, const std::vector<LaunchTiming> &timings,
                       const std::vector<StepCost> &costs, const Measured &measured,
                       const Manifest &manifest) {
  const bool gpu = manifest.target == kCudaTarget;
  std::map<std::string, ProfileRow> rows;
  ProfileRow total;
  for (size_t i = 0; i < timings.size() && i < entry.schedule.size() && i < costs.size(); ++i) {
    const OpPlan &op = entry.schedule[i];
    for (ProfileRow *row : {&rows[op.op + " " + lastPart(op.name)], &total}) {
      row->calls += timings[i].calls;
      row->nanoseconds += timings[i].nanoseconds;
      row->cost.bytes += costs[i].bytes;
      row->cost.flops += costs[i].flops;
      if (row != &total && !row->launch)
        row->launch = &op;
    }
  }
  std::vector<std::pair<std::string, ProfileRow>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) {
    return a.second.nanoseconds > b.second.nanoseconds;
  });
  const uint64_t steps = timings.empty() ? 0 : timings[0].calls;
  std::string text =
      format("%s, %llu steps\n", entry.name.c_str(), static_cast<unsigned long long>(steps));
  text += format("%-34s %7s %10s %9s %8s %8s %9s%s\n", "op", "calls", "us", "bytes", "GB/s",
                 "GFLOP/s", "of peak", gpu ? kGpuHeader : "");
  for (const auto &[name, row] : sorted)
    text += formatRow(name, row, measured) + (gpu ? gpuColumns(*row.launch, manifest) : "") + "\n";
  total.calls = steps;
  return text + formatRow("the whole step", total, measured) + "\n";
}

} // namespace

std::string closingLine(const RunResult &result) {
  const Phase decode = sumSteps(result.measured.steps, true);
  std::string line = format("-- %zu tokens", result.generation.tokens.size());
  if (decode.tokens > 0)
    line += format(", %.*f tok/s", decode.rate() < 100 ? 1 : 0, decode.rate());
  if (result.measured.firstTokenSeconds > 0)
    line += format(", first token %.0f ms", result.measured.firstTokenSeconds * 1e3);
  if (decode.tokens > 0 && result.measured.readBandwidth > 0)
    line += format(", %.0f %% of read bandwidth (%.1f of %.1f GB/s)",
                   100 * decode.bandwidth() / result.measured.readBandwidth,
                   decode.bandwidth() * 1e-9, result.measured.readBandwidth * 1e-9);
  else if (result.measured.tooBusy)
    line += ", too busy a machine to measure its read bandwidth";
  if (result.guesses)
    line += format(", %llu of %llu guesses right",
                   static_cast<unsigned long long>(result.guesses->right),
                   static_cast<unsigned long long>(result.guesses->made));
  return line;
}

std::string jsonReport(const RunResult &result, const Session &session) {
  const Measured &measured = result.measured;
  const Phase prefill = sumSteps(measured.steps, false), decode = sumSteps(measured.steps, true);
  const Manifest &manifest = session.manifest();
  nlohmann::ordered_json report;
  report["model"] = manifest.model.name;
  report["artifact"] = result.artifactPath;
  report["dtype"] = dtypeName(manifest.dtype);
  report["kv_cache_dtype"] = dtypeName(manifest.kv.dtype);
  report["device"] = session.device->name();
  report["prompt_tokens"] = result.promptTokens;
  report["ids"] = result.generation.tokens;
  report["text"] = result.text;
  report["finish"] = finishName(result.generation.finish);
  nlohmann::ordered_json sampling = {{"greedy", result.sampling.greedy()}};
  if (!result.sampling.greedy())
    sampling.update({{"temperature", result.sampling.temperature},
                     {"top_k", result.sampling.topK},
                     {"top_p", result.sampling.topP},
                     {"min_p", result.sampling.minP},
                     {"seed", result.sampling.seed}});
  sampling["repetition_penalty"] = result.sampling.repetitionPenalty;
  report["sampling"] = sampling;
  report["timings"] = {{"load_s", measured.loadSeconds},
                       {"prefill_s", prefill.seconds},
                       {"first_token_s", measured.firstTokenSeconds},
                       {"decode_s", decode.seconds},
                       {"total_s", measured.totalSeconds}};
  report["prefill"] = {{"tokens", prefill.tokens},
                       {"tokens_per_s", prefill.rate()},
                       {"gflop_per_s", prefill.seconds > 0
                                           ? double(prefill.cost.flops) / prefill.seconds * 1e-9
                                           : 0}};
  report["decode"] = {{"tokens", decode.tokens},
                      {"tokens_per_s", decode.rate()},
                      {"bytes", decode.cost.bytes},
                      {"gb_per_s", decode.bandwidth() * 1e-9}};
  if (result.guesses)
    report["prompt_lookup"] = {{"guessed", result.guesses->made},
                               {"accepted", result.guesses->right}};
  if (measured.readBandwidth > 0) {
    report["read_bandwidth_gb_per_s"] = measured.readBandwidth * 1e-9;
    report["decode"]["share_of_read_bandwidth"] = decode.bandwidth() / measured.readBandwidth;
  }
  report["memory"] = {{"weight_bytes", manifest.weightBytes()},
                      {"kv_bytes", session.executor->cacheBytes()},
                      {"arena_bytes", manifest.arenaBytes},
                      {"peak_rss_bytes", measured.peakResidentBytes}};
  return report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string profileTable(const Profile &profile, const Manifest &manifest,
                         const Measured &measured) {
  std::string text;
  const auto &entries = profile.timings.entries();
  for (size_t i = 0; i < entries.size() && i < profile.costs.size(); ++i)
    if (!entries[i].empty())
      text += (text.empty() ? "" : "\n") +
              entryTable(manifest.entries[i], entries[i], profile.costs[i], measured, manifest);
  return text;
}

} // namespace sinter
