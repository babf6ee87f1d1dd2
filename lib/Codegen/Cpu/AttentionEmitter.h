//===- AttentionEmitter.h - one attention kernel under construction -*- C++ -*-===//
#pragma once

#include "Pieces.h"
#include "Templates.h"

namespace sinter::cpu {

/// A run of neighbouring rows that share registers.
struct RowRun {
  int64_t first, count;
};

/// What to fetch while a group is scored.
struct Ahead {
  Value keys, values;
};

/// Rows of a block: query head `row % group` of the kv head's group, token `row / group`.
struct AttentionEmitter {
  KernelBuilder &b;
  const AttentionSpec &spec;
  int64_t mostRows; ///< in a full block
  int64_t padded;   ///< head size in whole vectors
  int64_t rows = 0; ///< in the block being emitted
  int64_t scoreRowBytes = kAttentionChunk * 4 + 64;
  // Arguments.
  Value q = {}, y = {}, keys = {}, values = {};
  Value cuQ = {}, contexts = {}, positions = {}, blockTable = {};
  Value tableStride = {}, pageBytes = {}, scale = {};
  Value partials = {}; ///< of a split attention
  // Scratch.
  Value queryRows = {}, outputRows = {}, scores = {};
  Value limits = {}, maxima = {}, sums = {}, keepFactors = {}, addFactors = {};
  // The task.
  Value head = {}, table = {};
  Value begin = {}, limit = {}; ///< positions that the block's rows may see
  Value chunks = {};            ///< of a split attention: the tasks of a head

  int64_t scratchBytes() const;
  void emit();
  void emitMerge();

private:
  bool isV4() const { return b.isa != CpuIsa::V3; }
  /// q K^T by dot products of bf16 pairs: queryRows are q as it is, the scale comes after.
  bool pairs() const { return b.isa == CpuIsa::V4Bf16 && spec.takesPairs(); }
  /// P V by pairs of positions.
  bool valuePairs() const { return pairs() && spec.cache.headDim % (2 * kLanes) == 0; }
  llvm::SmallVector<RowRun> runs(int64_t most) const;
  void loadArguments();
  void layoutScratch();
  Value partialRow(Value chunk, Value row);
  Value loadQueries(Value sequence, Value firstToken, Value tokens, Value lastToken);
  void resetState();
  Value pageOf(Value position, Value count, Value &valid);
  Value groupPointer(Value stream, Value start, Value column, Value count, int64_t tokenBytes,
                     Value &valid);
  Value laterColumn(Value column, Value count, int64_t ahead);
  void fetchAhead(Ahead ahead, Value pair, int64_t columnBytes);
  void scoreChunk(Value start, Value first, Value count);
  void scoreGroup(Value keyPointer, Ahead ahead, Value position, Value valid, Value column,
                  RowRun run);
  void softmaxRow(Value row, Value first, Value count, Value chunk);
  void mergeRow(Value row, Value maximum, Value sum);
  Value limitOf(Value sequence, Value token);
  Value beginBefore(Value limit);
  Value firstChunk();
  Value firstColumn(Value start);
  void accumulateChunk(Value start, Value first, Value count, RowRun run, int64_t firstVector,
                       int64_t vectors);
  Values addValues(Value tokens, Value valid, Value weights, Value ahead, RowRun run,
                   int64_t firstVector, int64_t vectors, Values sums);
  Values addValuePairs(Value tokens, Value valid, Value weights, Value ahead, RowRun run,
                       int64_t firstVector, int64_t vectors, Values sums);
  void fetchValues(Value ahead, Value token, int64_t firstVector, int64_t vectors);
  void mergeOutput(Value row, int64_t vector, Value chunkOutput);
  void attendChunk(Value start);
  void storeOutputs(Value firstToken, Value tokens);
  void splitTask(Value task);
  void block(Value sequence, Value firstToken, Value tokens, Value lastToken);
};

} // namespace sinter::cpu
