//===- Linear.cpp - GEMV and GEMM on tiled16 weights ----------------------===//
//
// y[t, n] = scale(t) * sum_k x[t, k] gamma[k] W[n, k]. Each output has two accumulators, one for
// even and one for odd k, both running from k = 0 upwards and added at the end, whatever T,
// register tile, task range or instruction set: the same row gives the same bits in a GEMV and in a
// GEMM.
//
// A call packs x * gamma as f32 into its thread's scratch, a panel of tokens at a time, then walks
// its tiles of W: each is read once per panel and stays in L1/L2 over the panel's row blocks.
//
//===----------------------------------------------------------------------===//
#include "LinearEmitter.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

int64_t sinter::cpu::tiledBytes(DType type, int64_t k) {
  return type == DType::BF16 ? roundUp(k, 2) * kLanes * 2 : k * kLanes * bytesOf(type);
}

int64_t LinearSpec::weightRows() const {
  int64_t rows = 0;
  for (int64_t r : sourceRows)
    rows += r;
  return rows;
}
int64_t LinearSpec::outputs() const { return epilogue == Swiglu ? weightRows() / 2 : weightRows(); }
int64_t LinearSpec::tiles() const {
  int64_t tiles = 0;
  for (int64_t r : sourceRows)
    tiles += ceilDiv(r, kLanes);
  return epilogue == Swiglu ? tiles / 2 : tiles;
}
int64_t LinearSpec::taskTiles() const {
  if (epilogue == Argmax)
    return 16; // each task leaves a partial result per row: not too many
  const int64_t weightTiles = maxTokens == 1 ? 4 : 2;
  return epilogue == Swiglu ? weightTiles / 2 : weightTiles;
}
int64_t LinearSpec::tileBytes() const { return tiledBytes(weight, k); }

bool LinearSpec::gateUpAligned() const {
  const int64_t half = weightRows() / 2;
  if (sourceRows.size() == 2)
    return sourceRows[0] == half;
  return half % kLanes == 0 &&
         llvm::all_of(sourceRows, [](int64_t rows) { return rows % kLanes == 0; });
}

int64_t sinter::cpu::tokenClass(int64_t maxTokens) {
  for (int64_t limit : {1, 4, 8})
    if (maxTokens <= limit)
      return limit;
  return INT64_MAX;
}

/// Register tiles. v4 has 32 registers: up to 24 accumulators. v3 has 16, and a logical vector
/// takes two: up to 12. More than one row there with both parities at once spilled accumulators,
/// each spill a store and a load in the chain of FMAs; one parity at a time leaves registers free.
LinearTile sinter::cpu::pickTile(CpuIsa isa, const LinearSpec &spec) {
  const int64_t tokens = spec.maxTokens;
  LinearTile tile;
  if (isa == CpuIsa::V4)
    tile = tokens == 1   ? LinearTile{1, 4}
           : tokens <= 4 ? LinearTile{4, 2}
           : tokens <= 8 ? LinearTile{8, 1}
                         : LinearTile{6, 2};
  else
    tile = tokens == 1 ? LinearTile{1, 2} : LinearTile{6, 1};
  tile.parityPasses = isa == CpuIsa::V3 && tokens > 1;
  // A panel of f32 rows that stays in L2; one cache line more per row keeps rows out of each
  // other's cache sets.
  tile.rowBytes = roundUp(spec.k * 4, 64) + 64;
  constexpr int64_t panelBytes = 512 << 10, panelTokens = 128;
  int64_t rows = std::min(panelTokens, std::max(panelBytes / tile.rowBytes, 2 * tile.rows));
  rows = std::min(rows, tokens);
  tile.panel = roundUp(rows, tile.rows);
  return tile;
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

void LinearEmitter::packRow(Value source, Value target, Value scale) {
  Values sums = spec.norm ? zeroSums(b) : Values();
  const int64_t bytes = bytesOf(spec.x);
  sums =
      b.chunks(spec.k, 4, sums, [&](Value element, int64_t lanes, int64_t slot, Values &carried) {
        Value v = b.load(b.at(source, b.mul(element, bytes)), spec.x, lanes);
        Value byte = b.mul(element, 4);
        if (spec.norm) {
          carried[slot] = b.fma(v, v, carried[slot]);
          v = b.mulf(v, b.load(b.at(gamma, byte), DType::F32, lanes));
        }
        b.store(b.at(target, byte), DType::F32, v, lanes);
      });
  if (spec.norm)
    b.storeF32(scale, rstd(b, sums, spec.k, spec.eps));
}

void LinearEmitter::pack(Value first, Value rows) {
  b.loop(b.i64(0), rows, 1, [&](Value row) {
    Value source = b.at(x, b.mul(b.add(first, row), spec.k * bytesOf(spec.x)));
    packRow(source, b.at(b.scratch, b.mul(row, tile.rowBytes)), b.at(scales, b.mul(row, 4)));
  });
}

//===----------------------------------------------------------------------===//
// The inner loop
//===----------------------------------------------------------------------===//

/// How far ahead of a tile's place W is fetched. With several rows the loop is too slow for the
/// hardware to look far enough ahead, with one row and two tiles there are too few streams: either
/// way it stops at every page of W. Four streams at once do without. The next tile follows this one
/// in memory.
int64_t LinearEmitter::prefetchBytes() const {
  return tile.rows > 1 ? 2048 : tile.tiles < 4 ? 1024 : 0;
}

/// One step over columns (k, k + 1), or k alone: accumulators are [tile][row][even, odd].
void LinearEmitter::step(ArrayRef<Value> tilePointers, Value tileByte, Value xColumn, bool pair,
                         Values &sums) {
  const int64_t stride = kLanes * bytesOf(spec.weight);
  Values columns;
  for (Value pointer : tilePointers) {
    Value p = b.at(pointer, tileByte);
    if (prefetchBytes())
      b.prefetch(b.at(p, prefetchBytes()));
    if (pair) {
      auto [even, odd] = b.loadColumnPair(p, spec.weight, stride);
      columns.append({even, odd});
    } else {
      columns.append({b.loadColumn(p, spec.weight), Value()});
    }
  }
  for (int64_t row = 0; row < tile.rows; ++row) {
    for (int64_t parity = 0; parity < (pair ? 2 : 1); ++parity) {
      Value factor = b.splat(b.loadF32(b.at(xColumn, row * tile.rowBytes + parity * 4)));
      for (size_t t = 0; t < tilePointers.size(); ++t) {
        Value &sum = sums[(t * tile.rows + row) * 2 + parity];
        sum = b.fma(factor, columns[2 * t + parity], sum);
      }
    }
  }
}

/// As step(), for one parity of a pair: accumulators are [tile][row].
void LinearEmitter::parityStep(ArrayRef<Value> tilePointers, Value tileByte, Value xColumn,
                               int64_t parity, Values &sums) {
  const int64_t stride = kLanes * bytesOf(spec.weight);
  Values columns;
  for (Value pointer : tilePointers) {
    Value p = b.at(pointer, tileByte);
    if (parity == 0 && prefetchBytes()) // the odd pass finds W where the even one left it
      b.prefetch(b.at(p, prefetchBytes()));
    columns.push_back(b.loadColumn(p, spec.weight, parity, stride));
  }
  for (int64_t row = 0; row < tile.rows; ++row) {
    Value factor = b.splat(b.loadF32(b.at(xColumn, row * tile.rowBytes + parity * 4)));
    for (size_t t = 0; t < tilePointers.size(); ++t) {
      Value &sum = sums[t * tile.rows + row];
      sum = b.fma(factor, columns[t], sum);
    }
  }
}

/// dots() in two passes over W, first for the even accumulators, then for the odd ones: each sees
/// the same operations in the same order as with both at once.
Values LinearEmitter::dotsByParity(ArrayRef<Value> tilePointers, Value xRow) {
  const int64_t pairs = spec.k / 2;
  const int64_t pairBytes = 2 * kLanes * bytesOf(spec.weight);
  auto at = [&](Value pair, int64_t parity, Values &carried) {
    parityStep(tilePointers, b.mul(pair, pairBytes), b.at(xRow, b.mul(pair, 8)), parity, carried);
  };
  const Values zeros(tilePointers.size() * tile.rows, b.splat(0.0f));
  auto pass = [&](int64_t parity) {
    return b.loop(b.i64(0), b.i64(pairs), 1, zeros, [&](Value pair, ValueRange carried) {
      Values inner(carried);
      at(pair, parity, inner);
      return inner;
    });
  };
  Values even = pass(0), totals;
  if (spec.k % 2)
    at(b.i64(pairs), 0, even);
  for (auto [first, second] : llvm::zip_equal(even, pass(1)))
    totals.push_back(b.addf(first, second));
  return totals;
}

/// Dot products of `tile.rows` packed rows with tiles: [tile][row] vectors of 16 outputs.
Values LinearEmitter::dots(ArrayRef<Value> tilePointers, Value xRow) {
  if (tile.parityPasses)
    return dotsByParity(tilePointers, xRow);
  const int64_t pairs = spec.k / 2;
  const int64_t pairBytes = 2 * kLanes * bytesOf(spec.weight);
  Values sums(tilePointers.size() * tile.rows * 2, b.splat(0.0f));
  auto at = [&](Value pair, bool whole, Values &carried) {
    step(tilePointers, b.mul(pair, pairBytes), b.at(xRow, b.mul(pair, 8)), whole, carried);
  };
  const int64_t unroll = tile.rows == 1 ? 4 : 1;
  const int64_t looped = pairs / unroll * unroll;
  sums = b.loop(b.i64(0), b.i64(looped), unroll, sums, [&](Value pair, ValueRange carried) {
    Values inner(carried);
    for (int64_t u = 0; u < unroll; ++u)
      at(b.add(pair, u), true, inner);
    return inner;
  });
  for (int64_t pair = looped; pair < pairs; ++pair)
    at(b.i64(pair), true, sums);
  if (spec.k % 2)
    at(b.i64(pairs), false, sums);
  Values totals;
  for (size_t i = 0; i < sums.size(); i += 2)
    totals.push_back(b.addf(sums[i], sums[i + 1]));
  return totals;
}

Value LinearEmitter::tilePointer(Value index) { return b.at(w, b.mul(index, spec.tileBytes())); }

/// Dot products of tiles [first, first + together) with a block of rows: [tile][row], the gate
/// tiles before the up tiles.
Values LinearEmitter::outputsOf(ArrayRef<Value> tiles, Value xRow) {
  const bool swiglu = spec.epilogue == LinearSpec::Swiglu;
  Values pointers, upPointers;
  for (Value index : tiles) {
    if (spec.tiles() % spec.taskTiles()) // the last task repeats the last tile, unstored
      index = b.min(index, spec.tiles() - 1);
    pointers.push_back(tilePointer(index));
    if (swiglu)
      upPointers.push_back(tilePointer(b.add(index, spec.tiles())));
  }
  if (!swiglu)
    return dots(pointers, xRow);
  if (tile.tiles > 1) { // gate and up share the registers
    pointers.append(upPointers);
    return dots(pointers, xRow);
  }
  Values outputs = dots(pointers, xRow);
  outputs.append(dots(upPointers, xRow));
  return outputs;
}

/// Asks for the start of the first tiles, so that W is on its way while x is packed. Beyond the end
/// of W this does nothing.
void LinearEmitter::fetchFirstTiles() {
  Value first = b.mul(b.begin, spec.taskTiles());
  auto fetch = [&](Value index) {
    Value p = tilePointer(index);
    for (int64_t byte = 0; byte < std::min<int64_t>(1024, spec.tileBytes()); byte += 64)
      b.prefetch(b.at(p, byte));
  };
  for (int64_t t = 0; t < std::min(tile.tiles, spec.taskTiles()); ++t) {
    fetch(b.add(first, t));
    if (spec.epilogue == LinearSpec::Swiglu)
      fetch(b.add(first, spec.tiles() + t));
  }
}

/// One task for one block of rows.
void LinearEmitter::block(Value task, Value panel, Value firstRow, Value rows) {
  const bool swiglu = spec.epilogue == LinearSpec::Swiglu;
  const int64_t perTask = spec.taskTiles();
  const int64_t together = swiglu ? std::max<int64_t>(1, tile.tiles / 2) : tile.tiles;
  Value xRow = b.at(b.scratch, b.mul(firstRow, tile.rowBytes));
  Value panelRow = b.add(panel, firstRow);
  Value firstTile = b.mul(task, perTask);
  Values best = spec.epilogue == LinearSpec::Argmax ? noCandidates() : Values();
  best = b.loop(b.i64(0), b.i64(perTask), together, best, [&](Value t, ValueRange carried) {
    Values tiles, next(carried);
    for (int64_t i = 0; i < together; ++i)
      tiles.push_back(b.add(b.add(firstTile, t), i));
    Values outputs = outputsOf(tiles, xRow);
    if (spec.epilogue == LinearSpec::Argmax)
      takeCandidates(tiles, outputs, firstRow, next);
    else
      storeTiles(tiles, outputs, panelRow, firstRow, rows);
    return next;
  });
  if (spec.epilogue == LinearSpec::Argmax)
    storeCandidates(task, best, panelRow, firstRow, rows);
}

void LinearEmitter::emit() {
  x = b.arg(0), w = b.arg(1), y = b.arg(2);
  if (spec.norm)
    gamma = b.arg(3);
  if (spec.bias)
    bias = b.arg(4);
  if (spec.residual)
    residual = b.arg(5);
  if (spec.epilogue == LinearSpec::Argmax)
    partials = b.arg(6);
  scales = b.at(b.scratch, tile.panel * tile.rowBytes);
  Value tokens =
      b.batchU32(spec.rows ? offsetof(SinterBatch, num_rows) : offsetof(SinterBatch, num_tokens));
  b.loop(b.i64(0), tokens, tile.panel, [&](Value panel) {
    Value rows = b.min(b.sub(tokens, panel), tile.panel);
    if (tile.rows == 1)
      fetchFirstTiles();
    pack(panel, rows);
    b.loop(b.begin, b.end, 1, [&](Value task) {
      b.loop(b.i64(0), rows, tile.rows,
             [&](Value firstRow) { block(task, panel, firstRow, rows); });
    });
  });
}

int64_t sinter::cpu::emitLinear(ModuleOp module, StringRef symbol, CpuIsa isa,
                                const LinearSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  LinearEmitter emitter{b, spec, pickTile(isa, spec)};
  emitter.emit();
  b.finish();
  return emitter.tile.panel * (emitter.tile.rowBytes + 4);
}
