//===- Linear.cpp - GEMV and GEMM on tiled16 weights ----------------------===//
//
// y[t, n] = scale(t) * sum_k x[t, k] gamma[k] W[n, k]. Each output has two accumulators, one for
// even and one for odd k, both running from k = 0 upwards and added at the end, whatever T,
// register tile, task range or instruction set: the same row gives the same bits in a GEMV and in a
// GEMM. With AVX512-BF16 x * gamma is rounded to bf16, as GPU kernels do, and one accumulator takes
// pairs of columns, odd before even: other bits than without, the same in every kernel with.
//
// A call packs x * gamma as f32 (or bf16) into its thread's scratch, a panel of tokens at a time,
// then walks its tiles of W. Each is read once per panel: while all blocks of rows use it, the next
// is fetched.
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

int64_t sinter::cpu::tokenClass(int64_t maxTokens) { return maxTokens == 1 ? 1 : INT64_MAX; }

/// Register tiles. v4 has 32 registers: up to 24 accumulators. v3 has 16, and a logical vector
/// takes two: up to 12. Three rows or more there with both parities at once spilled accumulators,
/// each spill a store and a load in the chain of FMAs; one parity at a time leaves registers free.
/// A dot product of pairs takes 6 cycles and two can start in each: 12 chains or more.
LinearTile sinter::cpu::pickTile(CpuIsa isa, const LinearSpec &spec) {
  const int64_t tokens = spec.maxTokens;
  const bool pairs = isa == CpuIsa::V4Bf16 && spec.takesPairs();
  LinearTile tile;
  if (pairs)
    tile = tokens == 1 ? LinearTile{1, 4} : LinearTile{12, 2};
  else if (isa != CpuIsa::V3)
    tile = tokens == 1 ? LinearTile{1, 4} : LinearTile{6, 2};
  else
    tile = tokens == 1 ? LinearTile{1, 2} : LinearTile{6, 1};
  tile.parityPasses = isa == CpuIsa::V3;
  tile.dotPairs = pairs;
  // A panel of rows that stays in L2; one cache line more per row keeps rows out of each other's
  // cache sets.
  tile.rowBytes = roundUp(ceilDiv(spec.k, 2) * tile.pairBytes(), 64) + 64;
  constexpr int64_t panelBytes = 512 << 10, panelTokens = 128;
  const int64_t rows = std::min(panelTokens, std::max(panelBytes / tile.rowBytes, 2 * tile.rows));
  tile.panel = std::min(roundUp(rows, tile.rows), tokens);
  return tile;
}

/// Tiles of outputs whose dot products are made in one pass. Gate and up share the registers.
int64_t LinearEmitter::together() const {
  return spec.epilogue == LinearSpec::Swiglu ? std::max<int64_t>(1, tile.tiles / 2) : tile.tiles;
}
int64_t LinearEmitter::slots() const {
  return spec.epilogue == LinearSpec::Swiglu ? 2 * together() : together();
}

static constexpr int64_t kVectorBytes = kLanes * 4;

int64_t LinearEmitter::scratchBytes() const {
  const int64_t candidateBytes = spec.epilogue == LinearSpec::Argmax ? 2 * kVectorBytes : 0;
  return tile.panel * (tile.rowBytes + candidateBytes) + roundUp(tile.panel * 4, 64) +
         tile.rows * slots() * kVectorBytes;
}

void LinearEmitter::layoutScratch() {
  scales = b.at(b.scratch, tile.panel * tile.rowBytes);
  products = b.at(scales, roundUp(tile.panel * 4, 64));
  candidates = b.at(products, tile.rows * slots() * kVectorBytes);
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

void LinearEmitter::packRow(Value source, Value target, Value scale) {
  Values sums = spec.norm ? zeroSums(b) : Values();
  const int64_t bytes = bytesOf(spec.x);
  if (tile.dotPairs && spec.k % 2) // the last pair's second half
    b.storeI32(b.at(target, (spec.k - 1) * 2), b.i64(0));
  sums =
      b.chunks(spec.k, 4, sums, [&](Value element, int64_t lanes, int64_t slot, Values &carried) {
        Value from = b.at(source, b.mul(element, bytes));
        Value to = b.at(target, b.mul(element, tile.pairBytes() / 2));
        if (tile.dotPairs && !spec.norm)
          return b.copyHalves(from, to, lanes);
        Value v = b.load(from, spec.x, lanes);
        if (spec.norm) {
          carried[slot] = b.fma(v, v, carried[slot]);
          v = b.mulf(v, b.load(b.at(gamma, b.mul(element, 4)), DType::F32, lanes));
        }
        b.store(to, tile.dotPairs ? DType::BF16 : DType::F32, v, lanes);
      });
  if (spec.norm)
    b.storeF32(scale, rstd(b, sums, spec.k, spec.eps));
}

void LinearEmitter::pack() {
  b.loop(b.i64(0), rows, 1, [&](Value row) {
    Value source = b.at(x, b.mul(b.add(panel, row), spec.k * bytesOf(spec.x)));
    packRow(source, b.at(b.scratch, b.mul(row, tile.rowBytes)), b.at(scales, b.mul(row, 4)));
  });
}

//===----------------------------------------------------------------------===//
// The inner loop
//===----------------------------------------------------------------------===//

static int64_t pairBytes(const LinearSpec &spec) { return 2 * kLanes * bytesOf(spec.weight); }

/// What a pass asks for while it runs. One row is all about the stream of W: with two tiles there
/// are too few streams for the hardware to look far enough ahead, four at once do without. More
/// rows read a tile many times, but only once from memory: all passes over it together fetch the
/// next one, a share each, so that memory never rests. A single pass of pairs looks no farther
/// ahead than L1 has room for.
LinearPass LinearEmitter::fetching(LinearPass pass, Value block) const {
  if (tile.rows == 1) {
    if (tile.tiles < 4)
      pass.fetch = b.i64(1024), pass.fetchStep = b.i64(pairBytes(spec));
    return pass;
  }
  const int64_t passes = pass.parities == 1 ? 2 : 1;
  pass.fetchStep = b.ceilDivide(fetchShare, passes);
  Value done = b.add(b.mul(block, passes), pass.parity);
  pass.fetch = b.add(b.mul(b.mul(done, spec.k / 2), pass.fetchStep), together() * spec.tileBytes());
  constexpr int64_t kAhead = 128; // steps
  const int64_t pairs = ceilDiv(spec.k, 2);
  if (!tile.dotPairs || pairs <= kAhead)
    return pass;
  // Within the tile as long as it goes on, then in the one that follows.
  Value single = b.equal(blocks, b.i64(1));
  Value next = b.i64(kAhead * pairBytes(spec) + (together() - 1) * spec.tileBytes());
  pass.fetchAtEnd = b.select(single, next, pass.fetch);
  pass.fetch = b.select(single, b.i64(kAhead * pairBytes(spec)), pass.fetch);
  pass.end = pairs - kAhead;
  return pass;
}

/// Where a tile's columns (k, k + 1) are.
Value LinearEmitter::columnsAt(Value tilePointer, Value pair, const LinearPass &pass) {
  if (pass.fetch) {
    Value fetch =
        pass.end ? b.select(b.less(pair, pass.end), pass.fetch, pass.fetchAtEnd) : pass.fetch;
    b.prefetch(b.at(b.at(tilePointer, fetch), b.mul(pair, pass.fetchStep)));
  }
  return b.at(tilePointer, b.mul(pair, pairBytes(spec)));
}

/// One step over columns (k, k + 1), or with `whole` false over k alone.
void LinearEmitter::step(ArrayRef<Value> tilePointers, Value pair, Value xRow,
                         const LinearPass &pass, bool whole, Values &sums) {
  const int64_t stride = kLanes * bytesOf(spec.weight);
  const int64_t parities = whole ? pass.parities : 1;
  Values columns;
  for (Value pointer : tilePointers) {
    Value p = columnsAt(pointer, pair, pass);
    if (parities == 2) {
      auto [even, odd] = b.loadColumnPair(p, spec.weight, stride);
      columns.append({even, odd});
    } else {
      columns.push_back(b.loadColumn(p, spec.weight, pass.parity, stride));
    }
  }
  Value xColumn = b.at(xRow, b.mul(pair, tile.pairBytes()));
  for (int64_t row = 0; row < pass.rows; ++row) {
    for (int64_t i = 0; i < parities; ++i) {
      Value factor = b.splat(b.loadF32(b.at(xColumn, row * tile.rowBytes + (pass.parity + i) * 4)));
      for (size_t t = 0; t < tilePointers.size(); ++t) {
        Value &sum = sums[(t * pass.rows + row) * pass.parities + i];
        sum = b.fma(factor, columns[t * parities + i], sum);
      }
    }
  }
}

/// The same with one dot product of pairs per output.
void LinearEmitter::stepPairs(ArrayRef<Value> tilePointers, Value pair, Value xRow,
                              const LinearPass &pass, Values &sums) {
  Values columns;
  for (Value pointer : tilePointers)
    columns.push_back(b.loadPairs(columnsAt(pointer, pair, pass)));
  Value xColumn = b.at(xRow, b.mul(pair, tile.pairBytes()));
  for (int64_t row = 0; row < pass.rows; ++row) {
    Value factors = b.splatPair(b.at(xColumn, row * tile.rowBytes));
    for (size_t t = 0; t < tilePointers.size(); ++t) {
      Value &sum = sums[t * pass.rows + row];
      sum = b.dotPairs(sum, factors, columns[t]);
    }
  }
}

Values LinearEmitter::runPass(ArrayRef<Value> tilePointers, Value xRow, const LinearPass &pass) {
  const int64_t pairs = tile.dotPairs ? ceilDiv(spec.k, 2) : spec.k / 2;
  const int64_t unroll = pass.rows == 1 ? 4 : 1, looped = pairs / unroll * unroll;
  const int64_t accumulators = tile.dotPairs ? 1 : pass.parities;
  Values sums(tilePointers.size() * pass.rows * accumulators, b.splat(0.0f));
  auto one = [&](Value pair, Values &inner) {
    if (tile.dotPairs)
      stepPairs(tilePointers, pair, xRow, pass, inner);
    else
      step(tilePointers, pair, xRow, pass, true, inner);
  };
  sums = b.loop(b.i64(0), b.i64(looped), unroll, sums, [&](Value pair, ValueRange carried) {
    Values inner(carried);
    for (int64_t u = 0; u < unroll; ++u)
      one(b.add(pair, u), inner);
    return inner;
  });
  for (int64_t pair = looped; pair < pairs; ++pair)
    one(b.i64(pair), sums);
  if (spec.k % 2 && pass.parity == 0 && !tile.dotPairs)
    step(tilePointers, b.i64(pairs), xRow, pass, false, sums);
  return sums;
}

/// Dot products of `blockRows` packed rows with tiles, to `products` from slot `firstSlot` on. Two
/// passes over W see the same operations in the same order as one with both parities.
void LinearEmitter::dots(ArrayRef<Value> tilePointers, int64_t firstSlot, Value xRow, Value block,
                         int64_t blockRows) {
  Values even, odd;
  if (tile.dotPairs) {
    even = runPass(tilePointers, xRow, fetching({blockRows, 0, 2}, block));
  } else if (tile.parityPasses && blockRows > 2) {
    even = runPass(tilePointers, xRow, fetching({blockRows, 0, 1}, block));
    odd = runPass(tilePointers, xRow, fetching({blockRows, 1, 1}, block));
  } else {
    Values sums = runPass(tilePointers, xRow, fetching({blockRows, 0, 2}, block));
    for (size_t i = 0; i < sums.size(); i += 2)
      even.push_back(sums[i]), odd.push_back(sums[i + 1]);
  }
  for (size_t i = 0; i < even.size(); ++i) {
    const int64_t t = int64_t(i) / blockRows, row = int64_t(i) % blockRows;
    b.store(b.at(products, (row * slots() + firstSlot + t) * kVectorBytes), DType::F32,
            odd.empty() ? even[i] : b.addf(even[i], odd[i]));
  }
}

//===----------------------------------------------------------------------===//
// Blocks, tasks, panels
//===----------------------------------------------------------------------===//

Value LinearEmitter::tilePointer(Value index) { return b.at(w, b.mul(index, spec.tileBytes())); }

/// Code for each number of rows that a block can have: no row is computed in vain.
void LinearEmitter::forBlockRows(Value count, int64_t most, function_ref<void(int64_t)> body) {
  if (most == 1)
    return body(1);
  b.choose(
      b.equal(count, b.i64(most)),
      [&] {
        body(most);
        return Values();
      },
      [&] {
        forBlockRows(count, most - 1, body);
        return Values();
      });
}

/// Outputs of `tiles` for block number `block` of the panel's rows. Blocks differ by at most one
/// row, so none is left with too few to keep the FMA units busy.
void LinearEmitter::tileBlock(ArrayRef<Value> tiles, Value block) {
  Value least = b.div(rows, blocks), larger = b.rem(rows, blocks);
  Value count = b.add(least, b.select(b.less(block, larger), b.i64(1), b.i64(0)));
  Value firstRow = b.add(b.mul(block, least), b.min(block, larger));
  Values pointers, upPointers;
  for (Value index : tiles) {
    if (spec.tiles() % spec.taskTiles()) // the last task repeats the last tile, unstored
      index = b.min(index, spec.tiles() - 1);
    pointers.push_back(tilePointer(index));
    if (spec.epilogue == LinearSpec::Swiglu)
      upPointers.push_back(tilePointer(b.add(index, spec.tiles())));
  }
  const auto upSlot = static_cast<int64_t>(pointers.size());
  if (tile.tiles > 1) { // gate and up share the registers
    pointers.append(upPointers);
    upPointers.clear();
  }
  Value xRow = b.at(b.scratch, b.mul(firstRow, tile.rowBytes));
  forBlockRows(count, tile.rows, [&](int64_t blockRows) {
    dots(pointers, 0, xRow, block, blockRows);
    if (!upPointers.empty())
      dots(upPointers, upSlot, xRow, block, blockRows);
  });
  if (tile.rows == 1)
    return finishRow(tiles, b.i64(0), firstRow);
  b.loop(b.i64(0), count, 1, [&](Value row) { finishRow(tiles, row, b.add(firstRow, row)); });
}

void LinearEmitter::runTask(Value task) {
  Value firstTile = b.mul(task, spec.taskTiles());
  if (spec.epilogue == LinearSpec::Argmax)
    noCandidates(firstTile);
  b.loop(b.i64(0), b.i64(spec.taskTiles()), together(), [&](Value t) {
    Values tiles;
    for (int64_t i = 0; i < together(); ++i)
      tiles.push_back(b.add(b.add(firstTile, t), i));
    b.loop(b.i64(0), blocks, 1, [&](Value block) { tileBlock(tiles, block); });
  });
  if (spec.epilogue == LinearSpec::Argmax)
    storeCandidates(task);
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
  layoutScratch();
  Value tokens =
      b.batchU32(spec.rows ? offsetof(SinterBatch, num_rows) : offsetof(SinterBatch, num_tokens));
  b.loop(b.i64(0), tokens, tile.panel, [&](Value first) {
    panel = first;
    rows = b.min(b.sub(tokens, panel), tile.panel);
    blocks = tile.rows == 1 ? b.i64(1) : b.ceilDivide(rows, tile.rows);
    fetchShare = b.div(b.add(blocks, pairBytes(spec) - 1), blocks);
    fetchFirstTiles();
    pack();
    b.loop(b.begin, b.end, 1, [&](Value task) { runTask(task); });
  });
}

int64_t sinter::cpu::emitLinear(ModuleOp module, StringRef symbol, CpuIsa isa,
                                const LinearSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  LinearEmitter emitter{b, spec, pickTile(isa, spec)};
  emitter.emit();
  b.finish();
  return emitter.scratchBytes();
}
