//===- GpuAttention.h - attention alone -------------------------*- C++ -*-===//
//
// A step's graph with nothing but attention and its plan in it, replayed back to back: every layer
// has its own pages, as in a model. The plan's launch, one for all layers, is in the figures.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Bench.h"

namespace sinter {

/// Decode attention of every batch and context, in microseconds a layer, and prefill attention of
/// every length, in TFLOP/s.
Result<int> benchAttention(const BenchOptions &options);

} // namespace sinter
