//===- Throughput.cpp -----------------------------------------------------===//
#include "Throughput.h"

#include "Probes.h"

#include "runtime/cli/Quantity.h"
#include "runtime/engine/EngineService.h"
#include "sinter/Support/Philox.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace sinter {
namespace {

using Clock = std::chrono::steady_clock;

struct Lengths {
  uint32_t prompt = 0, tokens = 0;
};

/// Uniform in [minLength, maxLength], a pure function of the seed.
std::vector<Lengths> drawLengths(const BenchOptions &options, uint32_t count) {
  const uint32_t range = options.maxLength - options.minLength + 1;
  std::vector<Lengths> lengths;
  for (uint32_t i = 0; i < count; ++i) {
    const PhiloxBlock bits = philoxBlock(options.seed, i, 0);
    lengths.push_back({options.minLength + bits[0] % range, options.minLength + bits[1] % range});
  }
  return lengths;
}

Request makeRequest(const BenchOptions &options, const Manifest &manifest, const Lengths &lengths,
                    uint32_t index) {
  Request request;
  for (uint32_t p = 0; p < lengths.prompt; ++p)
    request.prompt.push_back(
        int32_t(philoxBlock(options.seed, index, p + 1)[0] % manifest.model.vocab));
  request.maxTokens = lengths.tokens;
  request.sampling.temperature = options.temperature;
  request.sampling.topK = options.topK;
  request.sampling.topP = options.topP;
  request.sampling.seed = index;
  request.ignoreEos = true;
  return request;
}

/// When one request's tokens came.
class Stopwatch final : public RequestListener {
public:
  bool onToken(const TokenEvent &) override {
    times_.push_back(Clock::now());
    return true;
  }
  void onFinish(uint32_t, FinishReason, const Status &status) override { status_ = status; }
  void onDone(const Usage &) override {}

  const std::vector<Clock::time_point> &times() const { return times_; }
  const Status &status() const { return status_; }

private:
  std::vector<Clock::time_point> times_;
  Status status_;
};

/// Seconds that the model's own bytes and operations take at the machine's measured ceilings.
struct Roofline {
  double bandwidth = 0, operations = 0; ///< per second; 0: not measured
  double seconds = 0;

  void add(const StepCost &cost) {
    seconds += std::max(bandwidth > 0 ? double(cost.bytes) / bandwidth : 0,
                        operations > 0 ? double(cost.flops) / operations : 0);
  }
};

struct Outcome {
  std::string name;
  double seconds = 0, floorSeconds = 0;
  uint64_t promptTokens = 0, tokens = 0;
  std::vector<double> firstToken, interToken; ///< milliseconds
  EngineFigures figures;

  double tokensPerSecond() const { return double(tokens) / seconds; }
};

Result<Outcome> runOnce(const BenchOptions &options, Session &session, uint32_t count) {
  Roofline roofline;
  SINTER_ASSIGN_OR_RETURN(roofline.bandwidth, session.device->measureReadBandwidth());
  SINTER_ASSIGN_OR_RETURN(roofline.operations, session.device->measureFmaPeak());
  EngineOptions engine;
  engine.maxSequences = options.maxSequences;
  engine.tokensPerStep = options.chunk;
  engine.maxRequests = count;
  engine.onStep = [&](const EngineStep &step) { roofline.add(step.cost); };
  SINTER_ASSIGN_OR_RETURN(const std::unique_ptr<EngineService> service,
                          EngineService::create(*session.executor, engine));
  Outcome outcome;
  outcome.name = rowName("throughput", session.manifest()) + "/n" + std::to_string(count);
  const std::vector<Lengths> lengths = drawLengths(options, count);
  std::vector<Request> requests;
  std::vector<std::shared_ptr<Stopwatch>> watches;
  for (uint32_t i = 0; i < count; ++i)
    requests.push_back(makeRequest(options, session.manifest(), lengths[i], i));
  const auto start = Clock::now();
  for (Request &request : requests) {
    outcome.promptTokens += request.prompt.size();
    watches.push_back(std::make_shared<Stopwatch>());
    SINTER_RETURN_IF_ERROR(service->submit(std::move(request), watches.back()).status());
  }
  service->drain(Clock::time_point::max());
  outcome.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  outcome.floorSeconds = roofline.seconds;
  outcome.figures = service->figures();
  auto milliseconds = [](Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  for (const auto &watch : watches) {
    SINTER_RETURN_IF_ERROR(watch->status());
    const std::vector<Clock::time_point> &times = watch->times();
    outcome.tokens += times.size();
    outcome.firstToken.push_back(milliseconds(times.front() - start));
    for (size_t i = 1; i < times.size(); ++i)
      outcome.interToken.push_back(milliseconds(times[i] - times[i - 1]));
  }
  return outcome;
}

void print(const Outcome &outcome) {
  const EngineFigures &figures = outcome.figures;
  std::printf("%s: %.1f tok/s (%llu tokens after prompts of %llu in %.2f s)\n",
              outcome.name.c_str(), outcome.tokensPerSecond(),
              static_cast<unsigned long long>(outcome.tokens),
              static_cast<unsigned long long>(outcome.promptTokens), outcome.seconds);
  if (outcome.floorSeconds > 0)
    std::printf("  roofline           %.1f tok/s (%.0f %%)\n",
                double(outcome.tokens) / outcome.floorSeconds,
                100 * outcome.floorSeconds / outcome.seconds);
  auto line = [](const char *what, const std::vector<double> &values) {
    if (!values.empty())
      std::printf("  %-18s p50 %.1f ms, p90 %.1f ms, p99 %.1f ms\n", what, quantile(values, 0.5),
                  quantile(values, 0.9), quantile(values, 0.99));
  };
  line("first token", outcome.firstToken);
  line("between tokens", outcome.interToken);
  std::printf("  steps              %llu, host %.1f %% of their time, %llu preemptions\n",
              static_cast<unsigned long long>(figures.steps),
              100 * figures.hostSeconds / figures.stepSeconds,
              static_cast<unsigned long long>(figures.preemptions));
}

void addRecords(const Outcome &outcome, const Session &session, std::vector<BenchRecord> &records) {
  const std::string hardware = session.device->name(), commit = session.manifest().compilerBuild;
  std::optional<double> floor;
  if (outcome.floorSeconds > 0)
    floor = double(outcome.tokens) / outcome.floorSeconds;
  records.push_back(
      {outcome.name, outcome.tokensPerSecond(), "tok/s", floor, {}, hardware, commit});
  auto add = [&](const char *what, const std::vector<double> &values) {
    for (const auto &[suffix, q] : {std::pair("-p50", 0.5), std::pair("-p99", 0.99)})
      if (!values.empty())
        records.push_back(
            {outcome.name + what + suffix, quantile(values, q), "ms", {}, {}, hardware, commit});
  };
  add("/first-token", outcome.firstToken);
  add("/inter-token", outcome.interToken);
}

} // namespace

Result<int> benchThroughput(const BenchOptions &options) {
  if (options.minLength > options.maxLength)
    return invalidArgument("--min-length is more than --max-length");
  // Room for the largest number of requests, whole.
  const uint32_t most = *std::max_element(options.sequences.begin(), options.sequences.end());
  uint64_t tokens = 0, longest = 0;
  for (const Lengths &lengths : drawLengths(options, most)) {
    tokens += lengths.prompt + lengths.tokens;
    longest = std::max<uint64_t>(longest, lengths.prompt + lengths.tokens);
  }
  constexpr uint64_t kLastPage = 16; // is not full
  SINTER_ASSIGN_OR_RETURN(
      Session session, openBench(options, (tokens + most - 1) / most + kLastPage, most, longest));
  std::printf("%s: %s, %s\n", session.manifest().model.name.c_str(),
              std::string(dtypeName(session.manifest().dtype)).c_str(),
              session.device->name().c_str());
  std::vector<BenchRecord> records;
  std::vector<double> rates;
  for (const uint32_t count : options.sequences) {
    SINTER_ASSIGN_OR_RETURN(const Outcome outcome, runOnce(options, session, count));
    print(outcome);
    addRecords(outcome, session, records);
    rates.push_back(outcome.tokensPerSecond());
  }
  if (rates.size() > 1)
    std::printf("%u together: %.2f times the tokens per second of %u\n", options.sequences.back(),
                rates.back() / rates.front(), options.sequences.front());
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(mergeRecords(options.json, records));
  return 0;
}

} // namespace sinter
