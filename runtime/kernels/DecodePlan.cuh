//===- DecodePlan.cuh - ctx to the work list of decode attention -------*- CUDA -*-===//
//
// One block of 256 threads; contract in DecodeAttention.h.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "DecodeAttention.h"
#include "Scan.cuh"

namespace sinter::kernels {

/// Positions in one part of a sequence that looks at `ctx` of them.
SINTER_DEVICE int decodeChunk(const DecodePlanArgs &a, int ctx) {
  const int even = minOf(a.max_chunk, ceilDiv(ctx, a.target_splits));
  const int wanted = a.fixed_chunk != 0 ? a.fixed_chunk : maxOf(a.min_chunk, even);
  const int chunk = maxOf(wanted, ceilDiv(ctx, kDecodeMaxSplits));
  return ceilDiv(chunk, kDecodeAlign) * kDecodeAlign;
}

/// Where the parts of a sequence begin, whose first query token stands at `position`.
SINTER_DEVICE int decodeBegin(const DecodePlanArgs &a, int position) {
  return a.window == 0 ? 0 : maxOf(0, position - a.window + 1) / kDecodeAlign * kDecodeAlign;
}

SINTER_DEVICE void decodePlan(const DecodePlanArgs &a) {
  launchDependents();
  waitForPredecessors();
  int entries = 0, slots = 0; // given out to the sequences before
  for (int first = 0; first < a.seqs; first += kPlanThreads) {
    const int seq = first + threadIndex();
    int chunk = 64, splits = 0, blocks = 0, begin = 0, query = 0, ctx = 0, from = 0;
    if (seq < a.seqs) {
      begin = a.cu_q[seq];
      query = a.cu_q[seq + 1] - begin;
      ctx = a.ctx[seq];
      if (query > 0 && query <= a.max_q) {
        from = decodeBegin(a, ctx - query);
        chunk = decodeChunk(a, ctx - from);
        // A sequence without positions still gets its zeros.
        splits = maxOf(1, ceilDiv(ctx - from, chunk));
        blocks = ceilDiv(query * a.group, a.rows);
      }
    }
    int total;
    const int parts = splits > 1 ? splits * blocks : 0;
    const int slot = slots + runningSum(parts, total) - parts;
    slots += total;
    if (parts > 0 && slot + parts > a.max_slots) {
      chunk = ctx;
      splits = 1;
    }
    const int start = entries + runningSum(splits * blocks, total) - splits * blocks;
    entries += total;
    for (int i = 0; i < splits * blocks && start + i < a.max_entries; ++i) {
      const int split = i / blocks, block = i - split * blocks;
      a.work[start + i] = {seq,
                           begin,
                           query,
                           from + split * chunk,
                           minOf(ctx, from + (split + 1) * chunk),
                           block * a.rows,
                           split,
                           splits,
                           slot + block,
                           blocks,
                           ctx - query,
                           slot + i};
    }
  }
  if (threadIndex() == 0)
    *a.count = minOf(entries, a.max_entries);
}

} // namespace sinter::kernels
