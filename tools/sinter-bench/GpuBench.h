//===- GpuBench.h - decode and prefill on a GPU -----------------*- C++ -*-===//
//
// The same loop as on the CPU. Beside the wall time stands the time of the step's graph alone,
// replayed back to back: what remains is the host's.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Bench.h"

#include "runtime/cli/Session.h"

namespace sinter {

Status benchDecodeOnGpu(const BenchOptions &options, Session &session);
Status benchPrefillOnGpu(const BenchOptions &options, Session &session);

} // namespace sinter
