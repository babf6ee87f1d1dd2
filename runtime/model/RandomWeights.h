//===- RandomWeights.h - made-up weights for benchmarks ---------*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/device/Device.h"

#include <cstdint>

namespace sinter {

/// Fills the resident form of weight number `index` with values that depend on seed, index and
/// place only. Linears have a standard deviation of 0.02 and biases too, norm vectors lie around 1:
/// activations stay in the range of a trained model's. `weight` is not a rope table.
void fillRandom(const WeightPlan &weight, uint64_t seed, uint64_t index, Device &device,
                void *destination);

} // namespace sinter
