//===- MachineSpeed.h - what this machine can do at best --------*- C++ -*-===//
//
// The two ceilings of a roofline, measured on the threads that will do the work. A ceiling is not a
// constant: memory and clocks are shared with others. What is to be compared with a ceiling is best
// paired with probes taken just before and after it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/cpu/ThreadPool.h"
#include "sinter/Support/CpuIsa.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <limits>
#include <memory>

namespace sinter {

/// Reads memory well beyond the last cache with all threads of the pool together.
class ReadProbe {
public:
  /// Fails when the memory cannot be had in `patience` seconds, as on a machine that is busy.
  static Result<ReadProbe> create(ThreadPool &pool,
                                  double patience = std::numeric_limits<double>::infinity());

  /// Bytes per second of one pass over the next part of the buffer: a few milliseconds.
  double pass();
  /// Bytes per second of one pass over the whole buffer, or what of it is read in `patience`
  /// seconds.
  double wholePass(double patience);

private:
  struct Unmap {
    uint64_t bytes;
    void operator()(uint8_t *data) const;
  };

  ReadProbe(ThreadPool &pool, uint8_t *data, uint64_t bytes)
      : pool_(&pool), bytes_(bytes), data_(data, Unmap{bytes}) {}
  double read(uint64_t first, uint64_t bytes);

  ThreadPool *pool_;
  uint64_t bytes_;
  uint64_t next_ = 0; ///< where the next pass() begins
  std::unique_ptr<uint8_t, Unmap> data_;
};

/// Bytes per second at which all threads of the pool together read memory: the best of several
/// whole passes. Takes less than a second; 0 where the machine is too busy or has no memory for it.
double measureReadBandwidth(ThreadPool &pool);

/// Operations per second (a fused multiply-add counts two) with all operands in registers, at
/// instruction set `isa`: of f32, or of bf16 pairs where that has them. One pass of about a
/// millisecond.
double fmaPass(ThreadPool &pool, uint32_t isa);

/// The best of several passes.
double measureFmaPeak(ThreadPool &pool, uint32_t isa);

} // namespace sinter
