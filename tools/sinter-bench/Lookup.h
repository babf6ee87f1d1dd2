//===- Lookup.h - what guessing by prompt lookup gains and changes *- C++ -*-===//
#pragma once

#include "Bench.h"

namespace sinter {

/// The same greedy requests with and without prompt lookup: tokens per second of both, and how many
/// answers differ.
Result<int> benchLookup(const BenchOptions &options);

} // namespace sinter
