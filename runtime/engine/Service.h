//===- Service.h - requests from many threads -------------------*- C++ -*-===//
#pragma once

#include "runtime/engine/Request.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

namespace sinter {

/// Counts of durations by upper bound, as Prometheus wants them.
struct Histogram {
  /// Upper bounds in seconds; the last bucket has none.
  static constexpr std::array<double, 14> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,  0.5,    1,     2.5,  5,     10,   30};
  std::array<uint64_t, kBounds.size() + 1> counts = {};
  double sum = 0;
  uint64_t count = 0;

  void add(double seconds) {
    size_t bucket = 0;
    while (bucket < kBounds.size() && seconds > kBounds[bucket])
      ++bucket;
    ++counts[bucket];
    sum += seconds;
    ++count;
  }
};

/// A consistent picture of an engine.
struct EngineFigures {
  uint64_t queued = 0;    ///< requests that hold no pages yet
  uint64_t running = 0;   ///< samples that hold pages
  uint64_t preempted = 0; ///< samples that gave their pages up and wait to go on
  uint64_t finished = 0, cancelled = 0, failed = 0; ///< requests, ever
  uint64_t promptTokens = 0, generatedTokens = 0;   ///< ever
  uint64_t prefixLookups = 0, prefixHits = 0;       ///< prompt tokens asked for and found, ever
  uint64_t guessedTokens = 0, acceptedGuesses = 0;  ///< by prompt lookup, ever
  uint64_t preemptions = 0, pagesEverSwapped = 0;   ///< ever; the latter to host memory
  uint64_t pagesTotal = 0, pagesFree = 0, pagesUsed = 0;
  uint64_t pagesCached =
      0; ///< unreferenced, kept for their prefix; they count as free for admission
  uint64_t pagesSwapped = 0; ///< in host memory
  uint64_t steps = 0;
  double stepSeconds = 0, hostSeconds = 0; ///< whole steps, and the engine's own share of them
  Histogram timeToFirstToken, interToken, queueTime;
};

struct ServiceLimits {
  uint64_t maxTokens = 0;   ///< of prompt and continuation together
  uint64_t maxRequests = 0; ///< running and queued
  uint64_t vocab = 0;
};

/// Takes requests from any thread and runs them together on a thread of its own.
class Service {
public:
  virtual ~Service() = default;

  /// InvalidArgument: the request can never run. ResourceExhausted: the queue is full.
  /// Unavailable: draining or dead. The listener may be called before this returns.
  virtual Result<RequestId> submit(Request request, std::shared_ptr<RequestListener> listener) = 0;
  /// Ends what is left of a request before the next step; the listener hears Cancelled. A request
  /// that has ended is left alone.
  virtual void cancel(RequestId id) = 0;
  /// Takes no more requests, finishes those it has and cancels what is left at the deadline.
  virtual void drain(std::chrono::steady_clock::time_point deadline) = 0;

  /// Not ok once the device or the engine has died: every request has failed with it then.
  virtual Status health() const = 0;
  virtual EngineFigures figures() const = 0;
  virtual ServiceLimits limits() const = 0;
};

} // namespace sinter
