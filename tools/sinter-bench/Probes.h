//===- Probes.h - what the machine could have done just then ----*- C++ -*-===//
//
// The speed of memory on a shared machine changes by a factor of two from one second to the next. A
// ceiling measured once, before or after, says little about a step; one measured right before and
// right after it does.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/cpu/MachineSpeed.h"
#include "runtime/engine/Executor.h"

#include <vector>

namespace sinter {

double quantile(std::vector<double> values, double q);

/// Time spent, and the least that the machine would have needed for the same work at that moment.
struct Pair {
  double seconds = 0;
  double floor = 0;

  double share() const { return floor / seconds; }
};

class Probes {
public:
  static Result<Probes> create(ThreadPool &pool, uint32_t isa);

  /// Measures both ceilings, a few milliseconds on all threads.
  void sample();
  /// Samples again and pairs a step that ran since the last sample with the mean of the two.
  Pair pairWith(double seconds, const StepCost &cost);

  /// Of all samples, bytes and operations per second.
  const std::vector<double> &bandwidths() const { return bandwidths_; }
  const std::vector<double> &flops() const { return flops_; }

private:
  Probes(ThreadPool &pool, uint32_t isa, ReadProbe memory)
      : pool_(&pool), isa_(isa), memory_(std::move(memory)) {}

  ThreadPool *pool_;
  uint32_t isa_;
  ReadProbe memory_;
  std::vector<double> bandwidths_, flops_;
};

} // namespace sinter
