//===- Throughput.cpp -----------------------------------------------------===//
#include "Throughput.h"

#include "HttpThroughput.h"
#include "Load.h"
#include "LoadReport.h"

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

/// Submits each request at its time; without arrivals all at once.
Status submitAll(Service &service, std::vector<Request> requests,
                 const std::vector<double> &arrivals, LoadClock::time_point start,
                 const std::vector<std::shared_ptr<Stopwatch>> &watches) {
  for (size_t i = 0; i < requests.size(); ++i) {
    if (arrivals[i] > 0)
      std::this_thread::sleep_until(start + toClock(arrivals[i]));
    SINTER_RETURN_IF_ERROR(service.submit(std::move(requests[i]), watches[i]).status());
  }
  return Status::ok();
}

/// One run of requests of these lengths; `outcome` comes with its name and rate.
Status runLoad(const BenchOptions &options, Session &session,
               const std::vector<LoadLengths> &lengths, Roofline roofline, LoadOutcome &outcome) {
  const auto count = uint32_t(lengths.size());
  EngineOptions engine = loadEngineOptions(options, count);
  engine.onStep = [&](const EngineStep &step) { roofline.add(step.cost); };
  SINTER_ASSIGN_OR_RETURN(const std::unique_ptr<EngineService> service,
                          EngineService::create(*session.executor, engine));
  const std::vector<double> arrivals = drawArrivals(options, outcome.rate, count);
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
    outcome.tokens += times.size();
    addTimes(times, start + toClock(arrivals[i]), outcome);
  }
  return Status::ok();
}

/// Measures a load. One that is over at once is run again: the median of several, warm.
Result<LoadOutcome> measureLoad(const BenchOptions &options, Session &session, uint32_t count,
                                double rate) {
  constexpr double kShort = 0.25; // seconds
  constexpr size_t kRuns = 15;
  Roofline roofline;
  SINTER_ASSIGN_OR_RETURN(roofline.bandwidth, session.device->measureReadBandwidth());
  SINTER_ASSIGN_OR_RETURN(roofline.operations, session.device->measureFmaPeak());
  const std::vector<LoadLengths> lengths = drawLengths(options, count);
  LoadOutcome empty;
  empty.name = rowName("throughput", session.manifest()) + "/n" + std::to_string(count) +
               lengthSuffix(options) + drawSuffix(options);
  empty.rate = rate;
  LoadOutcome first = empty;
  SINTER_RETURN_IF_ERROR(runLoad(options, session, lengths, roofline, first));
  if (rate > 0 || first.seconds > kShort)
    return first;
  std::vector<LoadOutcome> runs(kRuns, empty);
  for (LoadOutcome &run : runs)
    SINTER_RETURN_IF_ERROR(runLoad(options, session, lengths, roofline, run));
  std::nth_element(
      runs.begin(), runs.begin() + kRuns / 2, runs.end(),
      [](const LoadOutcome &a, const LoadOutcome &b) { return a.seconds < b.seconds; });
  return std::move(runs[kRuns / 2]);
}

} // namespace

Result<int> benchThroughput(const BenchOptions &options) {
  if (options.minLength > options.maxLength)
    return invalidArgument("--min-length is more than --max-length");
  if (!options.server.empty())
    return benchThroughputOverHttp(options);
  if (options.model.empty())
    return invalidArgument("MODEL is required, or --server URL");
  // Room for the largest number of requests, whole.
  const uint32_t most = *std::max_element(options.sequences.begin(), options.sequences.end());
  uint64_t tokens = 0;
  const std::vector<LoadLengths> all = drawLengths(options, most);
  for (const LoadLengths &lengths : all)
    tokens += lengths.total();
  constexpr uint64_t kLastPage = 16; // is not full
  SINTER_ASSIGN_OR_RETURN(
      Session session,
      openBench(options, (tokens + most - 1) / most + kLastPage, most, longestOf(all)));
  std::printf("%s: %s, %s\n", session.manifest().model.name.c_str(),
              typesOf(session.manifest()).c_str(), session.device->name().c_str());
  BenchProfile profile(options, session);
  profile.begin();
  SINTER_RETURN_IF_ERROR(
      measureLoads(options, machineOf(session), [&](uint32_t count, double rate) {
        return measureLoad(options, session, count, rate);
      }));
  SINTER_RETURN_IF_ERROR(profile.print("all steps"));
  return 0;
}

} // namespace sinter
