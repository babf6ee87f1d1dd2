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

Value LinearEmitter::product(Value row, int64_t slot) {
  Value p = b.at(products, b.mul(row, slots() * kLanes * 4));
  return b.load(b.at(p, slot * kLanes * 4), DType::F32);
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

/// The outputs of row `row` of the block, row `panelRow` of the panel.
void LinearEmitter::finishRow(ArrayRef<Value> tiles, Value row, Value panelRow) {
  const auto count = static_cast<int64_t>(tiles.size());
  Value scale;
  if (spec.norm)
    scale = b.splat(b.loadF32(b.at(scales, b.mul(panelRow, 4))));
  for (int64_t t = 0; t < count; ++t) {
    auto finish = [&] {
      if (spec.epilogue == LinearSpec::Argmax)
        return takeCandidate(tiles[t], product(row, t), panelRow, scale);
      Value up = spec.epilogue == LinearSpec::Swiglu ? product(row, count + t) : Value();
      storeTile(tiles[t], product(row, t), up, b.add(panel, panelRow), scale);
    };
    if (spec.tiles() % spec.taskTiles())
      b.when(b.less(tiles[t], spec.tiles()), finish);
    else
      finish();
  }
}

//===----------------------------------------------------------------------===//
// Argmax: a candidate per row of the panel and lane
//===----------------------------------------------------------------------===//

static Value candidateOf(KernelBuilder &b, Value candidates, Value panelRow) {
  return b.at(candidates, b.mul(panelRow, 2 * kLanes * 4));
}

/// Before the first tile its lanes stand with the lowest value: any other beats them, or equals
/// them with a higher index.
void LinearEmitter::noCandidates(Value firstTile) {
  Value indices = b.laneIndices(tileColumns(b, spec.sourceRows, firstTile).column);
  b.loop(b.i64(0), rows, 1, [&](Value row) {
    Value p = candidateOf(b, candidates, row);
    b.store(p, DType::F32, b.splat(-std::numeric_limits<float>::infinity()));
    b.store(b.at(p, kLanes * 4), DType::F32, b.fromBits(indices));
  });
}

/// Tiles come with rising indices: of two that are alike the earlier stays.
void LinearEmitter::takeCandidate(Value index, Value dot, Value panelRow, Value scale) {
  TileColumns columns = tileColumns(b, spec.sourceRows, index);
  Value v = finishOutput(dot, 0, columns, scale);
  if (columns.lanes)
    v = b.select(b.lessI(b.laneIndices(b.i64(0)), b.splatI32(columns.lanes)), v,
                 b.splat(-std::numeric_limits<float>::infinity()));
  Value p = candidateOf(b, candidates, panelRow), q = b.at(p, kLanes * 4);
  Value best = b.load(p, DType::F32);
  Value take = b.either(b.lessF(best, v), b.both(b.isNaN(v), b.equalF(best, best)));
  b.store(p, DType::F32, b.select(take, v, best));
  b.store(q, DType::F32,
          b.select(take, b.fromBits(b.laneIndices(columns.column)), b.load(q, DType::F32)));
}

void LinearEmitter::storeCandidates(Value task) {
  b.loop(b.i64(0), rows, 1, [&](Value row) {
    Value from = candidateOf(b, candidates, row);
    Best lanes{b.load(from, DType::F32), b.f32Bits(b.load(b.at(from, kLanes * 4), DType::F32))};
    Value slot = b.add(b.mul(b.add(panel, row), spec.tasks()), task);
    Value p = b.at(partials, b.mul(slot, 8));
    storeBest(b, p, b.at(p, 4), bestLane(b, lanes));
  });
}
