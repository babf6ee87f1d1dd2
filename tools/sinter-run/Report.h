//===- Report.h - what sinter-run says at the end ---------------*- C++ -*-===//
#pragma once

#include "runtime/cli/Session.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

struct Measured {
  double loadSeconds = 0;       ///< process start to model ready
  double firstTokenSeconds = 0; ///< process start to first token; 0 when there was none
  double totalSeconds = 0;
  double readBandwidth = 0;       ///< bytes per second; 0 when not measured
  bool tooBusy = false;           ///< for the read bandwidth to be measured
  double fmaPeak = 0;             ///< operations per second; 0 when not measured
  uint64_t peakResidentBytes = 0; ///< of the run, before the machine is measured
  std::vector<StepRecord> steps;
};

/// By prompt lookup.
struct Guesses {
  uint64_t made = 0, right = 0;
};

struct RunResult {
  std::string artifactPath;
  uint64_t promptTokens = 0;
  std::string text;
  Generation generation;
  std::optional<Guesses> guesses; ///< none: none were asked for
  SamplingParams sampling;
  Measured measured;
};

/// `-- 128 tokens, 412 tok/s, first token 21 ms, 71 % of read bandwidth (17.1 of 24.1 GB/s)`
std::string closingLine(const RunResult &result);

/// Everything about a run as one JSON object.
std::string jsonReport(const RunResult &result, const Session &session);

} // namespace sinter
