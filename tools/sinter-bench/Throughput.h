//===- Throughput.h - many requests through the engine ----------*- C++ -*-===//
#pragma once

#include "Bench.h"

namespace sinter {

/// All requests arrive at once, prompt and continuation of a random length each; the engine serves
/// them as it serves anyone.
Result<int> benchThroughput(const BenchOptions &options);

} // namespace sinter
