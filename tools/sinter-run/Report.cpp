//===- Report.cpp ---------------------------------------------------------===//
#include "Report.h"

#include "runtime/cli/TextFormat.h"

#include <nlohmann/json.hpp>

namespace sinter {
namespace {

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

} // namespace sinter
