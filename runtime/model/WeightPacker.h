//===- WeightPacker.h - checkpoint rows to resident tiles -------*- C++ -*-===//
#pragma once

#include "sinter/Support/DType.h"

#include <cstdint>

namespace sinter {

constexpr uint64_t kTileRows = 16;

/// Bytes of one tiled16 tile of 16 rows.
inline uint64_t tileBytes(uint64_t columns, DType dtype) {
  const uint64_t padded = dtype == DType::BF16 ? (columns + 1) / 2 * 2 : columns;
  return kTileRows * padded * dtypeBytes(dtype);
}

/// Writes one tile: `rows` (1 to 16) rows of `columns` elements, row after row at `source`, become
/// bf16 [ceil(columns/2)][16][2] or f16 and f32 [columns][16]. Rows and columns that do not exist
/// are zero.
void packTile(const void *source, uint64_t rows, uint64_t columns, DType dtype, void *tile);

} // namespace sinter
