//===- LinearEmitter.h - one linear kernel under construction ---*- C++ -*-===//
#pragma once

#include "Pieces.h"
#include "Templates.h"

namespace sinter::cpu {

/// At most rows x tiles outputs are accumulated in registers at once.
struct LinearTile {
  int64_t rows, tiles;
  int64_t rowBytes = 0;      ///< of a packed row
  int64_t panel = 0;         ///< tokens packed at once
  bool parityPasses = false; ///< from 3 rows on: even and odd columns in turn, not side by side
  bool dotPairs = false;     ///< AVX512-BF16: x * gamma as bf16, one accumulator for both parities

  int64_t pairBytes() const { return dotPairs ? 4 : 8; } ///< of columns (k, k + 1) of a packed row
};
LinearTile pickTile(CpuIsa isa, const LinearSpec &spec);

/// What one pass over W accumulates: sums are [tile][row][parity], with pairs [tile][row].
struct LinearPass {
  int64_t rows;
  int64_t parity, parities; ///< of the columns: [parity, parity + parities)
  /// Asks for W at fetch + pair * fetchStep behind a tile's start, or null.
  Value fetch = {}, fetchStep = {};
  int64_t end = 0; ///< from this pair on, unless it is 0, fetchAtEnd takes the place of fetch
  Value fetchAtEnd = {};
};

struct LinearEmitter {
  KernelBuilder &b;
  const LinearSpec &spec;
  LinearTile tile;
  Value x = {}, w = {}, y = {};
  Value gamma = {}, bias = {}, residual = {}, partials = {}; ///< null where the spec has none
  // Scratch, behind the packed rows: rstd of each; the block's dot products, [row][tile] vectors;
  // with argmax each row's candidates.
  Value scales = {}, products = {}, candidates = {};
  // The panel.
  Value panel = {}, rows = {}; ///< its first token and its size
  Value blocks = {}, fetchShare = {};

  void emit();
  int64_t scratchBytes() const;

private:
  // Linear.cpp
  void layoutScratch();
  void pack();
  void packRow(Value source, Value target, Value scale);
  void step(llvm::ArrayRef<Value> tilePointers, Value pair, Value xRow, const LinearPass &pass,
            bool whole, Values &sums);
  void stepPairs(llvm::ArrayRef<Value> tilePointers, Value pair, Value xRow, const LinearPass &pass,
                 Values &sums);
  Value columnsAt(Value tilePointer, Value pair, const LinearPass &pass);
  Values runPass(llvm::ArrayRef<Value> tilePointers, Value xRow, const LinearPass &pass);
  void dots(llvm::ArrayRef<Value> tilePointers, int64_t firstSlot, Value xRow, Value block,
            int64_t blockRows);
  LinearPass fetching(LinearPass pass, Value block) const;
  void fetchFirstTiles();
  int64_t together() const;
  int64_t slots() const;
  Value tilePointer(Value index);
  void tileBlock(llvm::ArrayRef<Value> tiles, Value block);
  void forBlockRows(Value count, int64_t most, llvm::function_ref<void(int64_t)> body);
  void runTask(Value task);
  // LinearEpilogue.cpp
  Value product(Value row, int64_t slot);
  Value finishOutput(Value dot, int64_t biasOffset, TileColumns columns, Value scale);
  void storeTile(Value index, Value dot, Value upDot, Value row, Value scale);
  void finishRow(llvm::ArrayRef<Value> tiles, Value row, Value panelRow);
  void takeCandidate(Value index, Value dot, Value panelRow, Value scale);
  void noCandidates(Value firstTile);
  void storeCandidates(Value task);
  Value loadVector(Value p, DType type, Value lanes);
};

} // namespace sinter::cpu
