//===- Throughput.cpp -----------------------------------------------------===//
#include "Throughput.h"

#include "Load.h"

#include <algorithm>
#include <cstdio>
#include <thread>

namespace sinter {
namespace {

/// Seconds that the model's own bytes and operations take at the machine's measured ceilings.
struct Roofline {
  double bandwidth = 0, operations = 0; ///< per second; 0: not measured
  double seconds = 0;

  void add(const StepCost &cost) {
    seconds += std::max(bandwidth > 0 ? double(cost.bytes) / bandwidth : 0,
                        operations > 0 ? double(cost.flops) / operations : 0);
  }
};

LoadClock::duration toClock(double seconds) {
  return std::chrono::duration_cast<LoadClock::duration>(std::chrono::duration<double>(seconds));
}

struct Outcome {
  std::string name;
  double rate = 0; ///< requests per second; 0: all came at once
  double seconds = 0, floorSeconds = 0;
  uint64_t promptTokens = 0, tokens = 0;
  std::vector<double> firstToken, interToken; ///< milliseconds
  EngineFigures figures;

  double tokensPerSecond() const { return double(tokens) / seconds; }
};

/// Submits each request at its time; without arrivals all at once.
Status submitAll(Service &service, std::vector<Request> requests,
                 const std::vector<double> &arrivals, LoadClock::time_point start,
                 const std::vector<std::shared_ptr<Stopwatch>> &watches) {
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!arrivals.empty())
      std::this_thread::sleep_until(start + toClock(arrivals[i]));
    SINTER_RETURN_IF_ERROR(service.submit(std::move(requests[i]), watches[i]).status());
  }
  return Status::ok();
}

/// `rate`: requests per second; 0: all at once.
Result<Outcome> runOnce(const BenchOptions &options, Session &session, uint32_t count,
                        double rate) {
  Roofline roofline;
  SINTER_ASSIGN_OR_RETURN(roofline.bandwidth, session.device->measureReadBandwidth());
  SINTER_ASSIGN_OR_RETURN(roofline.operations, session.device->measureFmaPeak());
  EngineOptions engine = loadEngineOptions(options, count);
  engine.onStep = [&](const EngineStep &step) { roofline.add(step.cost); };
  SINTER_ASSIGN_OR_RETURN(const std::unique_ptr<EngineService> service,
                          EngineService::create(*session.executor, engine));
  Outcome outcome;
  outcome.name = rowName("throughput", session.manifest()) + "/n" + std::to_string(count);
  outcome.rate = rate;
  const std::vector<LoadLengths> lengths = drawLengths(options, count);
  std::vector<double> arrivals;
  if (rate > 0)
    arrivals = drawArrivals(options, rate, count);
  std::vector<Request> requests;
  std::vector<std::shared_ptr<Stopwatch>> watches;
  for (uint32_t i = 0; i < count; ++i) {
    requests.push_back(makeLoadRequest(options, session.manifest(), lengths[i], i));
    outcome.promptTokens += requests.back().prompt.size();
    watches.push_back(std::make_shared<Stopwatch>());
  }
  const auto start = LoadClock::now();
  SINTER_RETURN_IF_ERROR(submitAll(*service, std::move(requests), arrivals, start, watches));
  service->drain(LoadClock::time_point::max());
  outcome.seconds = std::chrono::duration<double>(LoadClock::now() - start).count();
  outcome.floorSeconds = roofline.seconds;
  outcome.figures = service->figures();
  for (uint32_t i = 0; i < count; ++i) {
    SINTER_RETURN_IF_ERROR(watches[i]->status());
    const std::vector<LoadClock::time_point> &times = watches[i]->times();
    // From when the request was to come: a late submission is waiting, too.
    const auto arrival = start + (arrivals.empty() ? LoadClock::duration() : toClock(arrivals[i]));
    outcome.tokens += times.size();
    outcome.firstToken.push_back(milliseconds(times.front() - arrival));
    for (size_t t = 1; t < times.size(); ++t)
      outcome.interToken.push_back(milliseconds(times[t] - times[t - 1]));
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
  if (outcome.rate > 0)
    std::printf("  arrivals           %.3g requests/s, Poisson\n", outcome.rate);
  printQuantiles("first token", outcome.firstToken);
  printQuantiles("between tokens", outcome.interToken);
  std::printf("  steps              %llu, host %.1f %% of their time, %llu preemptions\n",
              static_cast<unsigned long long>(figures.steps),
              100 * figures.hostSeconds / figures.stepSeconds,
              static_cast<unsigned long long>(figures.preemptions));
  if (figures.guessedTokens > 0)
    std::printf("  prompt lookup      %llu of %llu guesses right\n",
                static_cast<unsigned long long>(figures.acceptedGuesses),
                static_cast<unsigned long long>(figures.guessedTokens));
}

void addRecords(const Outcome &outcome, const Session &session, std::vector<BenchRecord> &records) {
  const std::string hardware = session.device->name(), commit = session.manifest().compilerBuild;
  std::optional<double> floor;
  if (outcome.floorSeconds > 0)
    floor = double(outcome.tokens) / outcome.floorSeconds;
  records.push_back(
      {outcome.name, outcome.tokensPerSecond(), "tok/s", floor, {}, hardware, commit});
  addQuantiles(outcome.name + "/first-token", outcome.firstToken, session, records);
  addQuantiles(outcome.name + "/inter-token", outcome.interToken, session, records);
}

/// 0.7, 12
std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

} // namespace

Result<int> benchThroughput(const BenchOptions &options) {
  if (options.minLength > options.maxLength)
    return invalidArgument("--min-length is more than --max-length");
  // Room for the largest number of requests, whole.
  const uint32_t most = *std::max_element(options.sequences.begin(), options.sequences.end());
  uint64_t tokens = 0, longest = 0;
  for (const LoadLengths &lengths : drawLengths(options, most)) {
    tokens += lengths.prompt + lengths.tokens;
    longest = std::max<uint64_t>(longest, lengths.prompt + lengths.tokens);
  }
  constexpr uint64_t kLastPage = 16; // is not full
  SINTER_ASSIGN_OR_RETURN(
      Session session, openBench(options, (tokens + most - 1) / most + kLastPage, most, longest));
  std::printf("%s: %s, %s\n", session.manifest().model.name.c_str(),
              typesOf(session.manifest()).c_str(), session.device->name().c_str());
  std::vector<BenchRecord> records;
  std::vector<double> rates;
  BenchProfile profile(options, session);
  profile.begin();
  for (const uint32_t count : options.sequences) {
    double rate = options.rate;
    if (rate == 0) {
      SINTER_ASSIGN_OR_RETURN(const Outcome outcome, runOnce(options, session, count, 0));
      print(outcome);
      addRecords(outcome, session, records);
      rates.push_back(outcome.tokensPerSecond());
      rate = options.load * double(count) / outcome.seconds;
    }
    if (rate > 0) {
      SINTER_ASSIGN_OR_RETURN(Outcome outcome, runOnce(options, session, count, rate));
      outcome.name += options.load > 0 ? "/load" + number(options.load) : "/rate" + number(rate);
      print(outcome);
      addRecords(outcome, session, records);
    }
  }
  if (rates.size() > 1)
    std::printf("%u together: %.2f times the tokens per second of %u\n", options.sequences.back(),
                rates.back() / rates.front(), options.sequences.front());
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(mergeRecords(options.json, records));
  SINTER_RETURN_IF_ERROR(profile.print("all steps"));
  return 0;
}

} // namespace sinter
