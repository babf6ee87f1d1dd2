//===- LoadReport.cpp -----------------------------------------------------===//
#include "LoadReport.h"

#include "Load.h"
#include "Probes.h"

#include <cstdio>

namespace sinter {
namespace {

using Count = unsigned long long;

/// How much longer the slowest gaps are than the usual one.
double spreadOf(const LoadOutcome &outcome) {
  return quantile(outcome.interToken, 0.99) / quantile(outcome.interToken, 0.5);
}

void print(const LoadOutcome &outcome) {
  const EngineFigures &figures = outcome.figures;
  std::printf("%s: %.1f tok/s (%llu tokens after prompts of %llu in %.2f s)\n",
              outcome.name.c_str(), outcome.tokensPerSecond(), Count(outcome.tokens),
              Count(outcome.promptTokens), outcome.seconds);
  if (outcome.floorSeconds > 0)
    std::printf("  roofline           %.1f tok/s (%.0f %%)\n",
                double(outcome.tokens) / outcome.floorSeconds,
                100 * outcome.floorSeconds / outcome.seconds);
  if (outcome.rate > 0)
    std::printf("  arrivals           %.3g requests/s, Poisson\n", outcome.rate);
  printQuantiles("first token", outcome.firstToken);
  printQuantiles("between tokens", outcome.interToken);
  if (outcome.turnedAway > 0)
    std::printf("  queue full         %llu times, tried again after Retry-After\n",
                Count(outcome.turnedAway));
  if (figures.steps > 0)
    std::printf("  steps              %llu, host %.1f %% of their time, %llu preemptions\n",
                Count(figures.steps), 100 * figures.hostSeconds / figures.stepSeconds,
                Count(figures.preemptions));
  if (figures.guessedTokens > 0)
    std::printf("  prompt lookup      %llu of %llu guesses right\n", Count(figures.acceptedGuesses),
                Count(figures.guessedTokens));
}

void addRecords(const LoadOutcome &outcome, const BenchMachine &machine,
                std::vector<BenchRecord> &records) {
  std::optional<double> floor;
  if (outcome.floorSeconds > 0)
    floor = double(outcome.tokens) / outcome.floorSeconds;
  const auto add = [&](const std::string &name, double value, const char *unit,
                       std::optional<double> floor = {}) {
    records.push_back({name, value, unit, floor, {}, machine.hardware, machine.commit});
  };
  add(outcome.name, outcome.tokensPerSecond(), "tok/s", floor);
  addQuantiles(outcome.name + "/first-token", outcome.firstToken, machine, records);
  addQuantiles(outcome.name + "/inter-token", outcome.interToken, machine, records);
  if (outcome.rate > 0 && !outcome.interToken.empty())
    add(outcome.name + "/inter-token-spread", spreadOf(outcome), "x");
}

/// 0.7, 12
std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

} // namespace

Status measureLoads(const BenchOptions &options, const BenchMachine &machine, const RunLoad &run) {
  std::vector<BenchRecord> records;
  std::vector<double> rates;
  std::string last; // row of what all came to at once
  for (const uint32_t count : options.sequences) {
    double rate = options.rate;
    if (rate == 0) {
      SINTER_ASSIGN_OR_RETURN(const LoadOutcome outcome, run(count, 0));
      print(outcome);
      addRecords(outcome, machine, records);
      rates.push_back(outcome.tokensPerSecond());
      last = outcome.name;
      rate = options.load * double(count) / outcome.seconds;
    }
    if (rate > 0) {
      SINTER_ASSIGN_OR_RETURN(LoadOutcome outcome, run(count, rate));
      outcome.name += options.load > 0 ? "/load" + number(options.load) : "/rate" + number(rate);
      print(outcome);
      addRecords(outcome, machine, records);
    }
  }
  if (rates.size() > 1) {
    const double gain = rates.back() / rates.front();
    std::printf("%u together: %.2f times the tokens per second of %u\n", options.sequences.back(),
                gain, options.sequences.front());
    const std::string row = last + "/over-n" + std::to_string(options.sequences.front());
    records.push_back({row, gain, "x", {}, {}, machine.hardware, machine.commit});
  }
  return options.json.empty() ? Status::ok() : mergeRecords(options.json, records);
}

} // namespace sinter
