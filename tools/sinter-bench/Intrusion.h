//===- Intrusion.h - a long prompt among running answers --------*- C++ -*-===//
#pragma once

#include "Bench.h"

namespace sinter {

/// What a long prompt that arrives while answers run does to the time between their tokens.
Result<int> benchIntrusion(const BenchOptions &options);

} // namespace sinter
