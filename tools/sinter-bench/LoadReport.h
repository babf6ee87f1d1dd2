//===- LoadReport.h - what many requests at once came to --------*- C++ -*-===//
#pragma once

#include "Bench.h"

#include "runtime/engine/Service.h"

#include <functional>
#include <string>
#include <vector>

namespace sinter {

struct LoadOutcome {
  std::string name;
  double rate = 0; ///< requests per second; 0: all came at once
  double seconds = 0;
  double floorSeconds = 0; ///< 0: not known
  uint64_t promptTokens = 0, tokens = 0;
  std::vector<double> firstToken, interToken; ///< milliseconds
  uint64_t turnedAway = 0;                    ///< times that a server's queue was full
  EngineFigures figures;                      ///< of this run

  double tokensPerSecond() const { return double(tokens) / seconds; }
};

/// Runs so many requests, `rate` of them a second; 0: all at once.
using RunLoad = std::function<Result<LoadOutcome>(uint32_t count, double rate)>;

/// The runs that the options ask for: all at once, at a rate, or both; prints and records them.
Status measureLoads(const BenchOptions &options, const BenchMachine &machine, const RunLoad &run);

} // namespace sinter
