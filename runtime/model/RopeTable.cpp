//===- RopeTable.cpp ------------------------------------------------------===//
#include "runtime/model/RopeTable.h"

#include <cmath>

namespace sinter {

void fillRopeTable(const WeightPlan &rope, uint64_t positions, Device &device, float *table) {
  const size_t half = rope.invFreq.size();
  device.hostParallel(uint32_t(positions), [&](uint32_t begin, uint32_t end) {
    for (uint32_t position = begin; position < end; ++position) {
      float *row = table + uint64_t(position) * 2 * half;
      for (size_t i = 0; i < half; ++i) {
        const float angle = float(position) * rope.invFreq[i];
        row[i] = float(std::cos(double(angle)) * rope.attentionScaling);
        row[half + i] = float(std::sin(double(angle)) * rope.attentionScaling);
      }
    }
  });
}

} // namespace sinter
