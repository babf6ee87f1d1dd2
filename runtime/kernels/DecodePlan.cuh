//===- DecodePlan.cuh - ctx to the work list of decode attention -------*- CUDA -*-===//
//
// One block of 256 threads; contract in DecodeAttention.h. A prefix sum over the sequences places
// each one's entries, so that the list does not depend on timing.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "DecodeAttention.h"
#include "device.h"

namespace sinter::kernels {

constexpr int kPlanThreads = 256;

/// Positions in one part of a sequence of `ctx` positions.
SINTER_DEVICE int decodeChunk(const DecodePlanArgs &a, int ctx) {
  const int wanted =
      a.fixed_chunk != 0 ? a.fixed_chunk : maxOf(a.min_chunk, ceilDiv(ctx, a.target_splits));
  const int chunk = maxOf(wanted, ceilDiv(ctx, kDecodeMaxSplits));
  return ceilDiv(chunk, 64) * 64;
}

SINTER_DEVICE void decodePlan(const DecodePlanArgs &a) {
  launchDependents();
  waitForPredecessors();
  int *sums = reinterpret_cast<int *>(dynamicShared);
  const int thread = threadIndex();
  int base = 0;
  for (int first = 0; first < a.seqs; first += kPlanThreads) {
    const int seq = first + thread;
    int chunk = 64, splits = 0, blocks = 0, begin = 0, query = 0, ctx = 0;
    if (seq < a.seqs) {
      begin = a.cu_q[seq];
      query = a.cu_q[seq + 1] - begin;
      ctx = a.ctx[seq];
      if (query > 0 && query <= a.max_q) {
        chunk = decodeChunk(a, ctx);
        splits = maxOf(1, ceilDiv(ctx, chunk)); // a sequence without positions still gets its zeros
        blocks = ceilDiv(query * a.group, a.rows);
      }
    }
    syncThreads();
    sums[thread] = splits * blocks;
    for (int step = 1; step < kPlanThreads; step *= 2) {
      syncThreads();
      const int left = thread >= step ? sums[thread - step] : 0;
      syncThreads();
      sums[thread] += left;
    }
    syncThreads();
    const int start = base + sums[thread] - splits * blocks;
    base += sums[kPlanThreads - 1];
    for (int i = 0; i < splits * blocks && start + i < a.max_entries; ++i) {
      const int split = i / blocks, block = i - split * blocks;
      a.work[start + i] = {seq,
                           begin,
                           query,
                           split * chunk,
                           minOf(ctx, (split + 1) * chunk),
                           block * a.rows,
                           split,
                           splits,
                           start + block,
                           blocks,
                           ctx - query,
                           0};
    }
  }
  if (thread == 0)
    *a.count = minOf(base, a.max_entries);
}

} // namespace sinter::kernels
