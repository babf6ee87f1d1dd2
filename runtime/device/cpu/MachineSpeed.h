//===- MachineSpeed.h - what this machine can do at best --------*- C++ -*-===//
//
// The two ceilings of a roofline, measured on the threads that will do the work. Each takes less
// than half a second.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/cpu/ThreadPool.h"
#include "sinter/Support/Status.h"

namespace sinter {

/// Bytes per second at which all threads of the pool together read memory well beyond the last
/// cache: the best of several passes.
Result<double> measureReadBandwidth(ThreadPool &pool);

/// f32 operations per second (a fused multiply-add counts two) with all operands in registers, at
/// instruction level `isa` (3 or 4).
double measureFmaPeak(ThreadPool &pool, uint32_t isa);

} // namespace sinter
