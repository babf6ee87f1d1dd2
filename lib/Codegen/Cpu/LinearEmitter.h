//===- LinearEmitter.h - one linear kernel under construction ---*- C++ -*-===//
#pragma once

#include "Pieces.h"
#include "Templates.h"

namespace sinter::cpu {

/// rows x tiles outputs are accumulated in registers at once.
struct LinearTile {
  int64_t rows, tiles;
  int64_t rowBytes = 0;      ///< of a packed row
  int64_t panel = 0;         ///< tokens packed at once, a multiple of `rows`
  bool parityPasses = false; ///< even and odd columns in turn, not side by side
};
LinearTile pickTile(CpuIsa isa, const LinearSpec &spec);

struct LinearEmitter {
  KernelBuilder &b;
  const LinearSpec &spec;
  LinearTile tile;
  Value x = {}, w = {}, y = {};
  Value gamma = {}, bias = {}, residual = {}, partials = {}; ///< null where the spec has none
  Value scales = {};                                         ///< rstd of each packed row

  void emit();

private:
  // Linear.cpp
  void pack(Value first, Value rows);
  void packRow(Value source, Value target, Value scale);
  void step(llvm::ArrayRef<Value> tilePointers, Value tileByte, Value xColumn, bool pair,
            Values &sums);
  void parityStep(llvm::ArrayRef<Value> tilePointers, Value tileByte, Value xColumn, int64_t parity,
                  Values &sums);
  Values dotsByParity(llvm::ArrayRef<Value> tilePointers, Value xRow);
  int64_t prefetchBytes() const;
  void fetchFirstTiles();
  Values dots(llvm::ArrayRef<Value> tilePointers, Value xRow);
  Value tilePointer(Value index);
  Values outputsOf(llvm::ArrayRef<Value> tiles, Value xRow);
  void block(Value task, Value panel, Value firstRow, Value rows);
  // LinearEpilogue.cpp
  void eachRow(Value firstRow, Value rows, llvm::function_ref<void(int64_t row)> body);
  Value finishOutput(Value dot, int64_t biasOffset, TileColumns columns, Value scale);
  void storeTile(Value index, Value dot, Value upDot, Value row, Value scale);
  void storeTiles(Values &tiles, Values &outputs, Value panelRow, Value firstRow, Value rows);
  Value rowScale(Value firstRow, int64_t row);
  Values noCandidates();
  void takeCandidates(Values &tiles, Values &outputs, Value firstRow, Values &best);
  void storeCandidates(Value task, Values &best, Value panelRow, Value firstRow, Value rows);
  Value loadVector(Value p, DType type, Value lanes);
};

} // namespace sinter::cpu
