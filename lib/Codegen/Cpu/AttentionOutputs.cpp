//===- AttentionOutputs.cpp - paged attention: P V and what is stored -----===//
//
// With AVX512-BF16 and whole registers of V (`valuePairs`) P is rounded to bf16, as in the kernels
// of GPUs, and two positions are one dot product: an even position of the sequence and the odd one
// behind it, whatever the block, so that a row's bits do not depend on it. The rows of V of two
// positions are interleaved within 128 bits, which is one instruction a register; the sums are put
// in order once a chunk.
//
//===----------------------------------------------------------------------===//
#include "AttentionEmitter.h"

#include <tuple>

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

/// output = output * keep + (P V) * add
void AttentionEmitter::mergeOutput(Value row, int64_t vector, Value chunkOutput) {
  Value keep = b.splat(b.loadF32(b.at(keepFactors, b.mul(row, 4))));
  Value take = b.splat(b.loadF32(b.at(addFactors, b.mul(row, 4))));
  Value p = b.at(b.at(outputRows, b.mul(row, padded * 4)), vector * kLanes * 4);
  b.store(p, DType::F32, b.fma(b.load(p, DType::F32), keep, b.mulf(chunkOutput, take)));
}

/// Sums of P V over the positions of a page's part, `sums` by row and vector.
Values AttentionEmitter::addValues(Value tokens, Value valid, Value weights, Value ahead,
                                   RowRun run, int64_t firstVector, int64_t vectors, Values sums) {
  const CacheShape &cache = spec.cache;
  const int64_t bytes = bytesOf(cache.type), tokenBytes = cache.headDim * bytes;
  auto lanesOf = [&](int64_t v) { return std::min(kLanes, cache.headDim - v * kLanes); };
  return b.loop(b.i64(0), valid, 1, sums, [&](Value token, ValueRange inner) {
    Values next(inner);
    Value v = b.at(tokens, b.mul(token, tokenBytes));
    Values vs;
    for (int64_t i = firstVector; i < firstVector + vectors; ++i)
      vs.push_back(b.load(b.at(v, i * kLanes * bytes), cache.type, lanesOf(i)));
    if (run.first == 0)
      fetchValues(ahead, token, firstVector, vectors);
    Value weight = b.at(weights, b.mul(token, 4));
    for (int64_t row = 0; row < run.count; ++row) {
      Value p = b.splat(b.loadF32(b.at(weight, row * scoreRowBytes)));
      for (int64_t i = 0; i < vectors; ++i)
        next[row * vectors + i] = b.fma(p, vs[i], next[row * vectors + i]);
    }
    return next;
  });
}

/// The same by pairs of positions. A last one without a partner is paired with itself: the
/// partner's weight is zero, and what V holds behind it may be anything.
Values AttentionEmitter::addValuePairs(Value tokens, Value valid, Value weights, Value ahead,
                                       RowRun run, int64_t firstVector, int64_t vectors,
                                       Values sums) {
  const int64_t tokenBytes = spec.cache.headDim * 2;
  return b.loop(b.i64(0), valid, 2, sums, [&](Value token, ValueRange inner) {
    Values next(inner);
    Value partner = b.min(b.add(token, 1), b.add(valid, -1));
    Value even = b.at(tokens, b.mul(token, tokenBytes));
    Value odd = b.at(tokens, b.mul(partner, tokenBytes));
    Values vs;
    for (int64_t i = firstVector; i < firstVector + vectors; i += 2) {
      const int64_t at = i * kLanes * 2;
      auto [low, high] = b.interleavePairs(b.loadPairs(b.at(even, at)), b.loadPairs(b.at(odd, at)));
      vs.append({low, high});
    }
    if (run.first == 0) {
      fetchValues(ahead, token, firstVector, vectors);
      fetchValues(ahead, b.add(token, 1), firstVector, vectors);
    }
    Value weight = b.at(weights, b.mul(token, 2));
    for (int64_t row = 0; row < run.count; ++row) {
      Value p = b.splatPair(b.at(weight, row * scoreRowBytes));
      for (int64_t i = 0; i < vectors; ++i)
        next[row * vectors + i] = b.dotPairs(next[row * vectors + i], p, vs[i]);
    }
    return next;
  });
}

/// Asks for the same place of the pages' next part.
void AttentionEmitter::fetchValues(Value ahead, Value token, int64_t firstVector, int64_t vectors) {
  const int64_t bytes = bytesOf(spec.cache.type), tokenBytes = spec.cache.headDim * bytes;
  for (int64_t byte = 0; byte < vectors * kLanes * bytes; byte += 64)
    b.prefetch(b.at(b.at(ahead, b.mul(token, tokenBytes)), firstVector * kLanes * bytes + byte));
}

/// P V for `vectors` vectors of the head size.
void AttentionEmitter::accumulateChunk(Value start, Value first, Value count, RowRun run,
                                       int64_t firstVector, int64_t vectors) {
  const CacheShape &cache = spec.cache;
  const int64_t tokenBytes = cache.headDim * bytesOf(cache.type);
  Values zero(run.count * vectors, b.splat(0.0f));
  Values sumsOut = b.loop(first, count, kLanes, zero, [&](Value column, ValueRange carried) {
    Value valid, ignored;
    Value tokens = groupPointer(values, start, column, count, tokenBytes, valid);
    Value ahead =
        groupPointer(values, start, laterColumn(column, count, 1), count, tokenBytes, ignored);
    Value weights =
        b.at(b.at(scores, run.first * scoreRowBytes), b.mul(column, valuePairs() ? 2 : 4));
    return valuePairs()
               ? addValuePairs(tokens, valid, weights, ahead, run, firstVector, vectors, carried)
               : addValues(tokens, valid, weights, ahead, run, firstVector, vectors, carried);
  });
  if (valuePairs())
    for (size_t i = 0; i < sumsOut.size(); i += 2)
      std::tie(sumsOut[i], sumsOut[i + 1]) = b.inOrder(sumsOut[i], sumsOut[i + 1]);
  Value chunk = spec.split ? b.div(start, kAttentionChunk) : Value();
  for (int64_t r = 0; r < run.count; ++r) {
    Value row = b.i64(run.first + r);
    for (int64_t i = 0; i < vectors; ++i) {
      const int64_t vector = firstVector + i;
      Value sum = sumsOut[r * vectors + i];
      if (spec.split)
        b.store(b.at(partialRow(chunk, row), vector * kLanes * 4), DType::F32, sum);
      else
        mergeOutput(row, vector, sum);
    }
  }
}

/// y = output / sum; zeros where a row saw nothing.
void AttentionEmitter::storeOutputs(Value firstToken, Value tokens) {
  const int64_t dim = spec.cache.headDim, bytes = bytesOf(spec.type), group = spec.group();
  b.loop(b.i64(0), b.mul(tokens, group), 1, [&](Value row) {
    Value token = b.add(firstToken, b.div(row, group));
    Value queryHead = b.add(b.mul(head, group), b.rem(row, group));
    Value target = b.add(b.mul(token, spec.queryHeads), queryHead);
    Value to = b.at(y, b.mul(target, dim * bytes));
    Value from = b.at(outputRows, b.mul(row, padded * 4));
    Value sum = b.splat(b.loadF32(b.at(sums, b.mul(row, 4))));
    Value nothing = b.equalF(sum, b.splat(0.0f));
    b.chunks(dim, 2, {}, [&](Value d, int64_t lanes, int64_t, Values &) {
      Value v = b.divf(b.load(b.at(from, b.mul(d, 4)), DType::F32, lanes), sum);
      v = b.select(nothing, b.splat(0.0f), v);
      b.store(b.at(to, b.mul(d, bytes)), spec.type, v, lanes);
    });
  });
}
