//===- AttentionEmitter.h - one attention kernel under construction -*- C++ -*-===//
#pragma once

#include "Pieces.h"
#include "Templates.h"

namespace sinter::cpu {

/// Positions are cut into chunks at absolute multiples of this; a chunk's softmax state is complete
/// in itself and states are merged in order.
constexpr int64_t kChunk = 512;

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
  int64_t scoreRowBytes = kChunk * 4 + 64;
  // Arguments.
  Value q = {}, y = {}, keys = {}, values = {};
  Value cuQ = {}, contexts = {}, positions = {}, blockTable = {};
  Value tableStride = {}, pageBytes = {}, scale = {};
  // Scratch.
  Value queryRows = {}, outputRows = {}, scores = {};
  Value limits = {}, maxima = {}, sums = {}, keepFactors = {}, addFactors = {};
  // The task.
  Value head = {}, table = {};

  int64_t scratchBytes() const;
  void emit();

private:
  bool isV4() const { return b.isa == CpuIsa::V4; }
  llvm::SmallVector<RowRun> runs(int64_t most) const;
  void layoutScratch();
  Value loadQueries(Value sequence, Value firstToken, Value tokens, Value lastToken);
  void resetState();
  Value pageOf(Value position, Value count, Value &valid);
  Value groupPointer(Value stream, Value start, Value column, Value count, int64_t tokenBytes,
                     Value &valid);
  Value laterColumn(Value column, Value count, int64_t ahead);
  void fetchAhead(Ahead ahead, Value pair, int64_t columnBytes);
  void scoreChunk(Value start, Value count);
  void scoreGroup(Value keyPointer, Ahead ahead, Value position, Value valid, Value column,
                  RowRun run);
  void softmaxRow(Value row, Value groups);
  void accumulateChunk(Value start, Value count, RowRun run, int64_t firstVector, int64_t vectors);
  void storeOutputs(Value firstToken, Value tokens);
  void block(Value sequence, Value firstToken, Value tokens, Value lastToken);
};

} // namespace sinter::cpu
