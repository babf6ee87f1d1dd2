//===- RandomWeights.h - made-up weights for benchmarks ---------*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/model/UploadList.h"

#include <cstdint>

namespace sinter {

/// Fills the resident form of weight number `index` with values that depend on seed, index and
/// place only, at once or, row-major linears, by what it appends to `list`. Linears have a standard
/// deviation of 0.02 and biases too, norm vectors lie around 1: activations stay in the range of a
/// trained model's. `weight` is not a rope table.
Status fillRandom(const WeightPlan &weight, uint64_t seed, uint64_t index, Device &device,
                  void *destination, UploadList &list);

} // namespace sinter
