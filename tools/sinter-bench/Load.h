//===- Load.h - made-up requests, and when their tokens came ----*- C++ -*-===//
#pragma once

#include "Bench.h"
#include "LoadReport.h"

#include "runtime/engine/EngineService.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace sinter {

using LoadClock = std::chrono::steady_clock;

/// Of a prompt and of what follows it, in tokens.
struct LoadLengths {
  uint32_t prompt = 0, tokens = 0;

  uint64_t total() const { return uint64_t(prompt) + tokens; }
};

/// Uniform in [minLength, maxLength], a pure function of the seed.
std::vector<LoadLengths> drawLengths(const BenchOptions &options, uint32_t count);
/// "/p8/o100" where prompts have a length of their own: a part of the row's name.
std::string lengthSuffix(const BenchOptions &options);

/// Of the longest prompt and answer together.
uint64_t longestOf(const std::vector<LoadLengths> &lengths);

/// Seconds from the first to each request where `rate` of them come in a second on average, as many
/// independent clients would send them (Poisson); a pure function of the seed. Rate 0: all zero.
std::vector<double> drawArrivals(const BenchOptions &options, double rate, uint32_t count);

/// Random tokens that differ with `index`.
std::vector<int32_t> makeLoadPrompt(const BenchOptions &options, uint64_t vocab, uint32_t length,
                                    uint32_t index);

/// A request with such a prompt.
Request makeLoadRequest(const BenchOptions &options, const Manifest &manifest,
                        const LoadLengths &lengths, uint32_t index);

/// Engine options of the benchmark's flags, for so many requests.
EngineOptions loadEngineOptions(const BenchOptions &options, uint32_t requests);

/// When one request's tokens came.
class Stopwatch final : public RequestListener {
public:
  bool onToken(const TokenEvent &) override {
    times_.push_back(LoadClock::now());
    ++tokens_;
    return true;
  }
  void onFinish(uint32_t, FinishReason, const Status &status) override { status_ = status; }
  void onDone(const Usage &) override { done_ = true; }

  /// From any thread, while it runs.
  uint32_t tokens() const { return tokens_; }
  bool done() const { return done_; }
  // Once it is done.
  const std::vector<LoadClock::time_point> &times() const { return times_; }
  const Status &status() const { return status_; }

private:
  std::vector<LoadClock::time_point> times_;
  std::atomic<uint32_t> tokens_{0};
  std::atomic<bool> done_{false};
  Status status_;
};

double milliseconds(LoadClock::duration time);
LoadClock::duration toClock(double seconds);

/// Adds the waiting times of one request, whose tokens came at `times`. They count from when it was
/// to come: a late submission is waiting, too.
void addTimes(const std::vector<LoadClock::time_point> &times, LoadClock::time_point arrival,
              LoadOutcome &outcome);

/// `  first token        p50 1.0 ms, p95 2.0 ms, p99 2.1 ms`; nothing of no values.
void printQuantiles(const char *what, const std::vector<double> &values);

/// NAME-p50, -p95 and -p99 in milliseconds; nothing of no values.
void addQuantiles(const std::string &name, const std::vector<double> &values,
                  const BenchMachine &machine, std::vector<BenchRecord> &records);

} // namespace sinter
