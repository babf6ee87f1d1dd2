//===- StepShares.h - a step's sequences shared out to threads --*- C++ -*-===//
//
// Threads that compute each launch together wait for each other after every one of them and fetch
// its input from each other's caches. Where everything a step reads lies in a cache that all
// threads share, and each has tokens enough to make reading all weights pay off, it is cheaper that
// every thread computes sequences of its own from the first launch to the last.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/device/Device.h"
#include "runtime/engine/BatchBuilder.h"

#include <cstdint>
#include <span>
#include <vector>

namespace sinter {

class StepShares {
public:
  /// No step is shared out.
  StepShares() = default;
  StepShares(const Manifest &manifest, const Device &device);

  /// Into how many shares a step can be divided at most; 1: not at all.
  uint32_t most() const { return most_; }
  /// The items in `most()` shares of about equal cost, each a range of its own, or in one where
  /// that is as fast. Results are the same either way.
  std::vector<std::span<const WorkItem>> divide(std::span<const WorkItem> items) const;

private:
  double cost(const WorkItem &item) const;
  bool fitsCache(std::span<const WorkItem> items) const;

  uint32_t most_ = 1;
  uint64_t cacheBytes_ = 0; ///< of the shared cache, what the weights leave
  KvPlan kv_;
  double perToken_ = 0;    ///< operations of a token's linears
  double perPosition_ = 0; ///< and of its attention, in what as many operations of linears take
};

} // namespace sinter
