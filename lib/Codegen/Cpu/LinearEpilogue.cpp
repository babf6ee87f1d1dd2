//===- LinearEpilogue.cpp - from accumulators to results ------------------===//
//
// Per output: row scale, bias, then residual, swiglu or argmax, one rounding.
//
//===----------------------------------------------------------------------===//
#include "LinearEmitter.h"

#include <limits>

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

//===----------------------------------------------------------------------===//
// Which columns a tile holds
//===----------------------------------------------------------------------===//

static bool wholeTiles(ArrayRef<int64_t> sourceRows) {
  return llvm::all_of(sourceRows, [](int64_t rows) { return rows % kLanes == 0; });
}

TileColumns sinter::cpu::tileColumns(KernelBuilder &b, ArrayRef<int64_t> sourceRows, Value tile) {
  if (wholeTiles(sourceRows))
    return {b.mul(tile, kLanes), Value()};
  // Later sources override: the last one that starts at or before the tile wins.
  Value column, end;
  int64_t firstTile = 0, firstColumn = 0;
  for (int64_t rows : sourceRows) {
    Value here = b.add(b.mul(b.add(tile, -firstTile), kLanes), firstColumn);
    Value hereEnd = b.i64(firstColumn + rows);
    if (column) {
      Value before = b.less(tile, firstTile);
      here = b.select(before, column, here);
      hereEnd = b.select(before, end, hereEnd);
    }
    column = here, end = hereEnd;
    firstTile += ceilDiv(rows, kLanes);
    firstColumn += rows;
  }
  return {column, b.min(b.sub(end, column), kLanes)};
}

Value sinter::cpu::paddedRow(KernelBuilder &b, ArrayRef<int64_t> sourceRows, Value row) {
  Value shift = b.i64(0);
  int64_t first = 0, padding = 0;
  for (int64_t rows : sourceRows) {
    if (first && padding)
      shift = b.select(b.less(row, first), shift, b.i64(padding));
    first += rows;
    padding += roundUp(rows, kLanes) - rows;
  }
  return b.add(row, shift);
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

Value LinearEmitter::loadVector(Value p, DType type, Value lanes) {
  return lanes ? b.loadPartial(p, type, lanes) : b.load(p, type);
}

void LinearEmitter::eachRow(Value firstRow, Value rows, function_ref<void(int64_t)> body) {
  for (int64_t row = 0; row < tile.rows; ++row) {
    if (row == 0) // a block has at least one row
      body(row);
    else
      b.when(b.less(b.add(firstRow, row), rows), [&] { body(row); });
  }
}

Value LinearEmitter::rowScale(Value firstRow, int64_t row) {
  if (!spec.norm)
    return {};
  return b.splat(b.loadF32(b.at(scales, b.mul(b.add(firstRow, row), 4))));
}

/// scale * dot + bias
Value LinearEmitter::finishOutput(Value dot, int64_t biasOffset, TileColumns columns, Value scale) {
  Value v = spec.norm ? b.mulf(dot, scale) : dot;
  if (spec.bias) {
    Value p = b.at(b.at(bias, biasOffset * 4), b.mul(columns.column, 4));
    v = b.addf(v, loadVector(p, DType::F32, columns.lanes));
  }
  return v;
}

void LinearEmitter::storeTile(Value index, Value dot, Value upDot, Value row, Value scale) {
  const bool swiglu = spec.epilogue == LinearSpec::Swiglu;
  ArrayRef<int64_t> sources = spec.sourceRows;
  if (swiglu && sources.size() == 2)
    sources = sources.take_front();
  const int64_t n = spec.outputs(), bytes = bytesOf(spec.y);
  TileColumns columns = tileColumns(b, sources, index);
  Value v = finishOutput(dot, 0, columns, scale);
  if (swiglu)
    v = b.mulf(b.silu(v), finishOutput(upDot, n, columns, scale));
  Value offset = b.mul(b.add(b.mul(row, n), columns.column), bytes);
  if (spec.residual)
    v = b.addf(v, loadVector(b.at(residual, offset), spec.y, columns.lanes));
  if (columns.lanes)
    b.storePartial(b.at(y, offset), spec.y, v, columns.lanes);
  else
    b.store(b.at(y, offset), spec.y, v);
}

/// `outputs` is [tile][row]; with swiglu the up tiles follow the gate tiles.
void LinearEmitter::storeTiles(Values &tiles, Values &outputs, Value panelRow, Value firstRow,
                               Value rows) {
  const bool swiglu = spec.epilogue == LinearSpec::Swiglu;
  const auto count = static_cast<int64_t>(tiles.size());
  const bool guarded = spec.tiles() % spec.taskTiles() != 0;
  eachRow(firstRow, rows, [&](int64_t row) {
    Value scale = rowScale(firstRow, row);
    for (int64_t t = 0; t < count; ++t) {
      Value up = swiglu ? outputs[(count + t) * tile.rows + row] : Value();
      auto storeIt = [&] {
        storeTile(tiles[t], outputs[t * tile.rows + row], up, b.add(panelRow, row), scale);
      };
      if (guarded)
        b.when(b.less(tiles[t], spec.tiles()), storeIt);
      else
        storeIt();
    }
  });
}

//===----------------------------------------------------------------------===//
// Argmax: a candidate per row and lane, carried as [row][value, index]
//===----------------------------------------------------------------------===//

Values LinearEmitter::noCandidates() {
  Values best;
  for (int64_t row = 0; row < tile.rows; ++row) {
    best.push_back(b.splat(-std::numeric_limits<float>::infinity()));
    best.push_back(b.splatI32(b.i64(std::numeric_limits<int32_t>::max())));
  }
  return best;
}

void LinearEmitter::takeCandidates(Values &tiles, Values &outputs, Value firstRow, Values &best) {
  Value lowest = b.splat(-std::numeric_limits<float>::infinity());
  for (int64_t row = 0; row < tile.rows; ++row) {
    Value scale = rowScale(firstRow, row);
    for (size_t t = 0; t < tiles.size(); ++t) {
      // A repeated last tile only repeats candidates.
      TileColumns columns = tileColumns(b, spec.sourceRows, b.min(tiles[t], spec.tiles() - 1));
      Value v = finishOutput(outputs[t * tile.rows + row], 0, columns, scale);
      if (columns.lanes)
        v = b.select(b.lessI(b.laneIndices(b.i64(0)), b.splatI32(columns.lanes)), v, lowest);
      Best next = better(b, {best[2 * row], best[2 * row + 1]}, {v, b.laneIndices(columns.column)});
      best[2 * row] = next.value, best[2 * row + 1] = next.index;
    }
  }
}

void LinearEmitter::storeCandidates(Value task, Values &best, Value panelRow, Value firstRow,
                                    Value rows) {
  eachRow(firstRow, rows, [&](int64_t row) {
    Value slot = b.add(b.mul(b.add(panelRow, row), spec.tasks()), task);
    Value p = b.at(partials, b.mul(slot, 8));
    storeBest(b, p, b.at(p, 4), bestLane(b, {best[2 * row], best[2 * row + 1]}));
  });
}
