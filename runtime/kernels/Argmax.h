//===- Argmax.h - the largest logit of a row: the contract ---------*- C++ -*-===//
//
//   value[r], index[r] = the largest of x[r] and where
//
// Symbols: R rows, V vocabulary. Of equal values the lowest index; a row with a NaN gives NaN and
// the index of its first NaN.
//
// A row is cut into `parts` equal pieces, one block each (grid R * parts); the block that finishes
// a row last merges the pieces in order, so the result does not depend on timing. Launch: 256
// threads, no dynamic shared memory. Bytes: 4 * R * V. Registers aimed at: 32. PDL: everything is
// read after griddepcontrol.wait.
//
//===----------------------------------------------------------------------===//
#pragma once

namespace sinter::kernels {

constexpr int kArgmaxThreads = 256;

struct ArgmaxArgs {
  const float *x;     ///< f32 [R, V]
  float *value;       ///< out f32 [R]
  int *index;         ///< out i32 [R]
  float *part_value;  ///< workspace f32 [R, parts]
  int *part_index;    ///< workspace i32 [R, parts]
  unsigned *counters; ///< [R], zero before the first launch, left zero by each
  int vocabulary;     ///< V
  int parts;
};

} // namespace sinter::kernels
