//===- WeightPacker.cpp ---------------------------------------------------===//
#include "runtime/model/WeightPacker.h"

#include <algorithm>
#include <cstring>

namespace sinter {
namespace {

/// Transposes 16 rows of `units` elements to [units][16]. Going through a block of 64 bytes per row
/// reads every source line once, however the rows' distance maps to cache sets.
template <typename Unit>
void transposeRows(const uint8_t *source, uint64_t rows, uint64_t rowBytes, Unit *tile) {
  constexpr uint64_t kBlock = 64 / sizeof(Unit);
  const uint64_t units = (rowBytes + sizeof(Unit) - 1) / sizeof(Unit);
  Unit block[kTileRows][kBlock] = {};
  for (uint64_t first = 0; first < units; first += kBlock) {
    const uint64_t count = std::min(kBlock, units - first);
    const uint64_t offset = first * sizeof(Unit);
    const uint64_t bytes = std::min<uint64_t>(64, rowBytes - offset);
    if (bytes < 64)
      std::memset(block, 0, sizeof block); // the last unit may be half a pair
    for (uint64_t row = 0; row < rows; ++row)
      std::memcpy(block[row], source + row * rowBytes + offset, bytes);
    for (uint64_t unit = 0; unit < count; ++unit)
      for (uint64_t row = 0; row < kTileRows; ++row)
        tile[(first + unit) * kTileRows + row] = block[row][unit];
  }
}

} // namespace

void packTile(const void *source, uint64_t rows, uint64_t columns, DType dtype, void *tile) {
  const auto *bytes = static_cast<const uint8_t *>(source);
  const uint64_t rowBytes = columns * dtypeBytes(dtype);
  if (dtype == DType::F16)
    transposeRows(bytes, rows, rowBytes, static_cast<uint16_t *>(tile));
  else // f32, or a pair of bf16 columns as one unit
    transposeRows(bytes, rows, rowBytes, static_cast<uint32_t *>(tile));
}

} // namespace sinter
