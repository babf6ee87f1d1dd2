//===- Load.cpp -----------------------------------------------------------===//
#include "Load.h"

#include "Probes.h"

#include "sinter/Support/Philox.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace sinter {
namespace {

constexpr std::pair<const char *, double> kQuantiles[] = {
    {"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}};

} // namespace

std::vector<LoadLengths> drawLengths(const BenchOptions &options, uint32_t count) {
  const uint32_t range = options.maxLength - options.minLength + 1;
  std::vector<LoadLengths> lengths;
  for (uint32_t i = 0; i < count; ++i) {
    const PhiloxBlock bits = philoxBlock(options.seed, i, 0);
    const uint32_t prompt =
        options.promptLength ? options.promptLength : options.minLength + bits[0] % range;
    lengths.push_back({prompt, options.minLength + bits[1] % range});
  }
  return lengths;
}

std::string lengthSuffix(const BenchOptions &options) {
  if (options.promptLength == 0)
    return {};
  return "/p" + std::to_string(options.promptLength) + "/o" + std::to_string(options.minLength) +
         (options.minLength == options.maxLength ? "" : "-" + std::to_string(options.maxLength));
}

uint64_t longestOf(const std::vector<LoadLengths> &lengths) {
  uint64_t longest = 0;
  for (const LoadLengths &one : lengths)
    longest = std::max(longest, one.total());
  return longest;
}

std::vector<double> drawArrivals(const BenchOptions &options, double rate, uint32_t count) {
  if (rate == 0)
    return std::vector<double>(count);
  std::vector<double> arrivals;
  double now = 0;
  for (uint32_t i = 0; i < count; ++i) {
    arrivals.push_back(now);
    now -= std::log1p(-double(unitFloat(philoxBlock(options.seed, i, 0)[2]))) / rate;
  }
  return arrivals;
}

std::vector<int32_t> makeLoadPrompt(const BenchOptions &options, uint64_t vocab, uint32_t length,
                                    uint32_t index) {
  std::vector<int32_t> prompt;
  for (uint32_t p = 0; p < length; ++p)
    prompt.push_back(int32_t(philoxBlock(options.seed, index, p + 1)[0] % vocab));
  return prompt;
}

Request makeLoadRequest(const BenchOptions &options, const Manifest &manifest,
                        const LoadLengths &lengths, uint32_t index) {
  Request request;
  request.prompt = makeLoadPrompt(options, manifest.model.vocab, lengths.prompt, index);
  request.maxTokens = lengths.tokens;
  request.sampling.temperature = options.temperature;
  request.sampling.topK = options.topK;
  request.sampling.topP = options.topP;
  request.sampling.repetitionPenalty = options.repetitionPenalty;
  request.sampling.seed = index;
  request.ignoreEos = true;
  request.promptLookup = options.promptLookup;
  return request;
}

EngineOptions loadEngineOptions(const BenchOptions &options, uint32_t requests) {
  EngineOptions engine;
  engine.maxSequences = options.maxSequences;
  engine.tokensPerStep = options.chunk;
  engine.maxRequests = requests;
  return engine;
}

double milliseconds(LoadClock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

LoadClock::duration toClock(double seconds) {
  return std::chrono::duration_cast<LoadClock::duration>(std::chrono::duration<double>(seconds));
}

void addTimes(const std::vector<LoadClock::time_point> &times, LoadClock::time_point arrival,
              LoadOutcome &outcome) {
  if (times.empty())
    return;
  outcome.firstToken.push_back(milliseconds(times.front() - arrival));
  for (size_t t = 1; t < times.size(); ++t)
    outcome.interToken.push_back(milliseconds(times[t] - times[t - 1]));
}

void printQuantiles(const char *what, const std::vector<double> &values) {
  if (values.empty())
    return;
  std::printf("  %-18s", what);
  for (const auto &[name, q] : kQuantiles)
    std::printf("%s %s %.1f ms", q == kQuantiles[0].second ? "" : ",", name, quantile(values, q));
  std::printf("\n");
}

void addQuantiles(const std::string &name, const std::vector<double> &values,
                  const BenchMachine &machine, std::vector<BenchRecord> &records) {
  if (values.empty())
    return;
  for (const auto &[suffix, q] : kQuantiles)
    records.push_back(
        {name + "-" + suffix, quantile(values, q), "ms", {}, {}, machine.hardware, machine.commit});
}

} // namespace sinter
