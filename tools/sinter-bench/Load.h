//===- Load.h - made-up requests, and when their tokens came ----*- C++ -*-===//
#pragma once

#include "Bench.h"

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
};

/// Uniform in [minLength, maxLength], a pure function of the seed.
std::vector<LoadLengths> drawLengths(const BenchOptions &options, uint32_t count);

/// Seconds from the first to each request where `rate` of them come in a second on average, as many
/// independent clients would send them (Poisson); a pure function of the seed.
std::vector<double> drawArrivals(const BenchOptions &options, double rate, uint32_t count);

/// A prompt of random tokens that differ with `index`.
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

/// `  first token        p50 1.0 ms, p95 2.0 ms, p99 2.1 ms`; nothing of no values.
void printQuantiles(const char *what, const std::vector<double> &values);

/// NAME-p50, -p95 and -p99 in milliseconds; nothing of no values.
void addQuantiles(const std::string &name, const std::vector<double> &values,
                  const Session &session, std::vector<BenchRecord> &records);

} // namespace sinter
