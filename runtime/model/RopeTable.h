//===- RopeTable.h - cos and sin of rotary embeddings -----------*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/device/Device.h"

#include <cstdint>

namespace sinter {

/// Writes f32 [positions][head_dim]: the cosines of head_dim/2 angles, then their sines. An angle
/// is f32(position) * inv_freq rounded to f32; cos and sin are taken in f64, scaled, then rounded.
void fillRopeTable(const WeightPlan &rope, uint64_t positions, Device &device, float *table);

} // namespace sinter
