//===- StepProfile.h - how often and how long each launch ran ---*- C++ -*-===//
#pragma once

#include <cstdint>
#include <vector>

namespace sinter {

struct LaunchTiming {
  uint64_t calls = 0;
  uint64_t nanoseconds = 0;
};

/// Launch timings by [entry][index into the entry's schedule].
class StepProfile {
public:
  void add(uint32_t entry, uint32_t op, uint64_t nanoseconds) {
    if (entry >= entries_.size())
      entries_.resize(entry + 1);
    std::vector<LaunchTiming> &ops = entries_[entry];
    if (op >= ops.size())
      ops.resize(op + 1);
    ++ops[op].calls;
    ops[op].nanoseconds += nanoseconds;
  }

  const std::vector<std::vector<LaunchTiming>> &entries() const { return entries_; }
  void clear() { entries_.clear(); }

private:
  std::vector<std::vector<LaunchTiming>> entries_;
};

} // namespace sinter
