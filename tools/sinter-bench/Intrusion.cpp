//===- Intrusion.cpp ------------------------------------------------------===//
#include "Intrusion.h"

#include "Load.h"
#include "Probes.h"

#include "runtime/engine/Engine.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <thread>

namespace sinter {
namespace {

constexpr uint32_t kWarmUp = 4; ///< tokens of every answer that do not count

/// What the engine lets a prompt take of a step that also decodes.
struct Chunk {
  uint32_t tokens = 0;
  double milliseconds = 0; ///< of the longest step, when the long prompt is alone
};

struct Outcome {
  std::string name;
  std::vector<double> before, during, intruder; ///< milliseconds
  Chunk chunk;
  uint64_t preemptions = 0;

  /// What the slowest gaps grew by, in steps of such a chunk.
  double rise() const {
    return (quantile(during, 0.99) - quantile(before, 0.99)) / chunk.milliseconds;
  }
};

/// Tokens that an answer may get while the long prompt is computed: one a step, and twice as many
/// steps as the smallest default needs, as the artefact may take fewer tokens at a time.
uint32_t tokensMeanwhile(const BenchOptions &options, uint32_t count) {
  const uint32_t step = options.chunk ? options.chunk : 512;
  return 2 * (options.intrude / (step > count ? step - count : 1) + 2);
}

/// The long prompt alone, in chunks as they are beside `count` answers.
Result<Chunk> measureChunk(const BenchOptions &options, Session &session, uint32_t count) {
  Chunk chunk;
  EngineOptions engine = loadEngineOptions(options, 1);
  engine.maxSequences = count + 1;
  {
    SINTER_ASSIGN_OR_RETURN(const auto beside, Engine::create(*session.executor, engine));
    chunk.tokens = beside->options().promptTokensPerStep;
  }
  engine.tokensPerStep = chunk.tokens;
  engine.onStep = [&](const EngineStep &step) {
    chunk.milliseconds = std::max(chunk.milliseconds, step.seconds * 1e3);
  };
  SINTER_ASSIGN_OR_RETURN(const auto alone, Engine::create(*session.executor, engine));
  const auto watch = std::make_shared<Stopwatch>();
  alone->submit(1, makeLoadRequest(options, session.manifest(), {options.intrude, 1}, count),
                watch);
  while (!alone->idle())
    SINTER_RETURN_IF_ERROR(alone->step());
  SINTER_RETURN_IF_ERROR(watch->status());
  return chunk;
}

Result<Outcome> runOnce(const BenchOptions &options, Session &session, uint32_t count) {
  SINTER_ASSIGN_OR_RETURN(const Chunk chunk, measureChunk(options, session, count));
  const uint32_t first = kWarmUp + options.tokens;
  const LoadLengths lengths = {options.minLength, first + tokensMeanwhile(options, count)};
  std::vector<std::shared_ptr<Stopwatch>> watches;
  for (uint32_t i = 0; i < count; ++i)
    watches.push_back(std::make_shared<Stopwatch>());
  const auto intruder = std::make_shared<Stopwatch>();
  Request longPrompt = makeLoadRequest(options, session.manifest(), {options.intrude, 1}, count);
  EngineOptions engine = loadEngineOptions(options, count + 1);
  engine.maxSequences = count + 1;
  EngineService *service = nullptr;
  std::optional<LoadClock::time_point> arrival;
  Status submitted;
  std::atomic<bool> refused{false};
  // On the engine's thread: another one might come too late for short steps.
  engine.onStep = [&](const EngineStep &) {
    const bool ready = std::all_of(watches.begin(), watches.end(), [&](const auto &watch) {
      return watch->times().size() >= first;
    });
    if (!ready || arrival)
      return;
    arrival = LoadClock::now();
    submitted = service->submit(std::move(longPrompt), intruder).status();
    refused = !submitted;
  };
  SINTER_ASSIGN_OR_RETURN(const std::unique_ptr<EngineService> owned,
                          EngineService::create(*session.executor, engine));
  service = owned.get();
  for (uint32_t i = 0; i < count; ++i)
    SINTER_RETURN_IF_ERROR(
        service->submit(makeLoadRequest(options, session.manifest(), lengths, i), watches[i])
            .status());
  const auto ended = [&] {
    return intruder->done() || refused || !service->health() ||
           std::any_of(watches.begin(), watches.end(),
                       [&](const auto &watch) { return watch->done() && watch->tokens() < first; });
  };
  while (!ended())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  service->drain(LoadClock::now()); // the rest of the answers is of no interest
  SINTER_RETURN_IF_ERROR(service->health());
  for (const auto &watch : watches)
    SINTER_RETURN_IF_ERROR(watch->status());
  SINTER_RETURN_IF_ERROR(submitted);
  SINTER_RETURN_IF_ERROR(intruder->status());
  const auto end = intruder->times().front();

  Outcome outcome;
  outcome.name = rowName("intrude", session.manifest()) + "/n" + std::to_string(count) + "/t" +
                 std::to_string(options.intrude) + drawSuffix(options);
  outcome.intruder = {milliseconds(end - *arrival)};
  outcome.chunk = chunk;
  outcome.preemptions = service->figures().preemptions;
  for (const auto &watch : watches) {
    const auto &times = watch->times();
    for (size_t i = kWarmUp; i < times.size() && times[i] <= end; ++i)
      (times[i] <= *arrival ? outcome.before : outcome.during)
          .push_back(milliseconds(times[i] - times[i - 1]));
  }
  return outcome;
}

void print(const Outcome &outcome) {
  std::printf("%s: first token of the long prompt after %.1f ms, %llu preemptions\n",
              outcome.name.c_str(), outcome.intruder.front(),
              static_cast<unsigned long long>(outcome.preemptions));
  printQuantiles("before, between", outcome.before);
  printQuantiles("during, between", outcome.during);
  if (!outcome.during.empty())
    std::printf("  p99 rises by       %.2f chunks of %u tokens, at most %.1f ms alone\n",
                outcome.rise(), outcome.chunk.tokens, outcome.chunk.milliseconds);
}

} // namespace

Result<int> benchIntrusion(const BenchOptions &options) {
  const uint32_t most = *std::max_element(options.sequences.begin(), options.sequences.end());
  const uint64_t answer =
      options.minLength + kWarmUp + options.tokens + tokensMeanwhile(options, most);
  constexpr uint64_t kLastPages = 2 * 16; // are not full
  const uint64_t longest = std::max<uint64_t>(answer, options.intrude + 1);
  SINTER_ASSIGN_OR_RETURN(
      Session session,
      openBench(options, answer + options.intrude / most + kLastPages, most + 1, longest));
  const BenchMachine machine = machineOf(session);
  std::vector<BenchRecord> records;
  for (const uint32_t count : options.sequences) {
    SINTER_ASSIGN_OR_RETURN(const Outcome outcome, runOnce(options, session, count));
    print(outcome);
    addQuantiles(outcome.name + "/before", outcome.before, machine, records);
    addQuantiles(outcome.name + "/during", outcome.during, machine, records);
    const auto add = [&](const char *row, double value, const char *unit) {
      records.push_back(
          {outcome.name + row, value, unit, {}, {}, machine.hardware, machine.commit});
    };
    add("/first-token", outcome.intruder.front(), "ms");
    if (!outcome.during.empty())
      add("/p99-rise", outcome.rise(), "chunks");
  }
  if (!options.json.empty())
    SINTER_RETURN_IF_ERROR(mergeRecords(options.json, records));
  return 0;
}

} // namespace sinter
