//===- Pieces.h - what several templates share ------------------*- C++ -*-===//
#pragma once

#include "KernelBuilder.h"

namespace sinter::cpu {

/// A candidate of an argmax: value and index, scalars (f32, i64) or vectors (f32, i32).
struct Best {
  Value value, index;
};
/// The better of two: NaN before numbers, then the larger value, then the lower index.
Best better(KernelBuilder &b, Best a, Best c);
/// Of 16 candidates the best, as f32 and i64.
Best bestLane(KernelBuilder &b, Best lanes);
void storeBest(KernelBuilder &b, Value value, Value index, Best best);

/// The four partial sums that every sum of squares in a kernel starts from.
Values zeroSums(KernelBuilder &b);
/// 1 / sqrt(sum of squares / k + eps), f32.
Value rstd(KernelBuilder &b, mlir::ValueRange sums, int64_t k, float eps);

/// Where a tile's 16 outputs go: columns [column, column + lanes).
struct TileColumns {
  Value column, lanes; ///< lanes is null when every tile is whole
};
TileColumns tileColumns(KernelBuilder &b, llvm::ArrayRef<int64_t> sourceRows, Value tile);
/// The row of the padded weight that holds row `row` of the stacked sources.
Value paddedRow(KernelBuilder &b, llvm::ArrayRef<int64_t> sourceRows, Value row);

/// Bytes of one tile of 16 rows with k columns.
int64_t tiledBytes(DType type, int64_t k);

} // namespace sinter::cpu
