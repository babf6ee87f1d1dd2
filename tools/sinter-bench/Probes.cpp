//===- Probes.cpp ---------------------------------------------------------===//
#include "Probes.h"

#include <algorithm>
#include <utility>

namespace sinter {
namespace {

double meanOfLastTwo(const std::vector<double> &values) {
  return (values[values.size() - 1] + values[values.size() - 2]) / 2;
}

} // namespace

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, size_t(q * double(values.size())))];
}

Result<Probes> Probes::create(ThreadPool &pool, uint32_t isa) {
  SINTER_ASSIGN_OR_RETURN(ReadProbe memory, ReadProbe::create(pool));
  return Probes(pool, isa, std::move(memory));
}

void Probes::sample() {
  bandwidths_.push_back(memory_.pass());
  flops_.push_back(fmaPass(*pool_, isa_));
}

Pair Probes::pairWith(double seconds, const StepCost &cost) {
  sample();
  return {seconds, std::max(double(cost.bytes) / meanOfLastTwo(bandwidths_),
                            double(cost.flops) / meanOfLastTwo(flops_))};
}

} // namespace sinter
