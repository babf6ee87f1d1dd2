//===- Sampling.h - drawing tokens on the GPU: the contract --------*- C++ -*-===//
//
//   top:   changes slice s of row r as sampling[r] says, in place;
//          lists[r, s] = the kSampleList largest logits of it
//   draw:  value[r], index[r] = the token drawn for row r; feedback[r] = index[r]
//
// Symbols: R rows, V vocabulary. Edits and masks do what runtime/engine/TokenScores.h does, rounded
// alike; the filters and the draw are those of runtime/engine/Sampler.h. These two are the plain
// reference: temperature, top-k (what ties with the k-th stays), top-p, min-p, then one Philox
// number of the row's seed at its position. Weights are f64 and are summed in the reference's
// order; exp() is within 2 units in the last place.
//
// A row with a logit that is not finite, before it is changed, gives NaN and index 0; one whose
// mask allows nothing gives minus infinity and index 0. Temperature 0 gives the largest logit, the
// lowest index among equals. When more than kSampleMost tokens stay because they tie with the k-th,
// one thread goes through the row in milliseconds: exact all the same.
//
// A row is cut into kSampleSlices equal slices. Both kernels deal their items (R * kSampleSlices of
// `top`, R of `draw`) out to the blocks of any grid. Launch: 256 threads, dynamic shared memory as
// below. Bytes: 4 * R * V; of a row with a mask V / 8 more and what it forbids written, of one with
// edits 16 of each for every slice. Registers aimed at: 64. PDL: logits and lists are read after
// griddepcontrol.wait, `sampling` belongs to the batch and may be read before.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Abi/sinter_abi.h"

namespace sinter::kernels {

constexpr int kSampleThreads = 256;
constexpr int kSampleSlices = 32;
constexpr int kSampleMost = int(SINTER_MAX_TOP_K);
/// More than kSampleMost: a list that cuts something off which ties with the row's k-th shows it.
constexpr int kSampleList = kSampleMost + 8;
constexpr int kSampleGathered = 1024; ///< of a slice, before they are sorted

/// Largest first, of equals the lowest id; behind the last one minus infinity. Its first value is
/// NaN when a logit of the slice is not finite.
struct SampleList {
  float value[kSampleList];
  int id[kSampleList];
};

/// Shared memory of `top`.
struct SampleTopShared {
  float most[kSampleThreads]; ///< of every thread
  float value[kSampleGathered];
  int id[kSampleGathered];
  float threshold;
  unsigned gathered;
  unsigned counted;
  int bad;
};

/// Shared memory of `draw`.
struct SampleDrawShared {
  float value[kSampleSlices * kSampleList];
  int id[kSampleSlices * kSampleList];
  float sortedValue[kSampleMost + 1];
  int sortedId[kSampleMost + 1];
  double weight[kSampleMost]; ///< of the sorted
  int byId[kSampleMost];      ///< places among the sorted, by id
  float bound;
  unsigned gathered;
  int bad;
};

struct SampleArgs {
  float *logits;                  ///< f32 [R, V], changed by `top`
  SampleList *lists;              ///< [R, kSampleSlices], written by `top`, read by `draw`
  float *value;                   ///< out f32 [R]
  int *index;                     ///< out i32 [R]
  int *feedback;                  ///< out i32 [R]
  const SinterSampling *sampling; ///< [R]
  int rows;
  int vocabulary; ///< V
};

} // namespace sinter::kernels
