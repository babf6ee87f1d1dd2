//===- Throughput.h - many requests through the engine ----------*- C++ -*-===//
#pragma once

#include "Bench.h"

namespace sinter {

/// Prompt and continuation of a random length each, all at once or as independent clients send
/// them; the engine serves them as it serves anyone.
Result<int> benchThroughput(const BenchOptions &options);

} // namespace sinter
