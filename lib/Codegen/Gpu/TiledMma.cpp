//===- TiledMma.cpp - many tokens on the tensor cores ---------------------===//
//
// The portable GEMM (sm_80 and later): cp.async into a ring of stages of 64 columns of K, ldmatrix,
// mma.m16n8k16 with tokens as m and rows of W as n.
//
//   x     [T, K]   W [N, K] row-major, K % 8 == 0   gamma f32 [K]   y [T, N]
//   tile  `tokens` x `rows` outputs; warpsM x warpsN warps
//   shared memory, at most 99 KB: a stage is x [tokens][64], W [rows][64], gamma f32 [64]; 16-byte
//   chunk c of row r lies at c ^ (r % 8), so that neither copies nor ldmatrix meet bank conflicts.
//   Afterwards the same memory holds the accumulators for the epilogue.
//   numerics: x * gamma rounded to the element type; f32 accumulators over all of K in order; sums
//   of squares are the diagonal of x x^T, on the tensor cores too (products exact, f32 sums)
//
//===----------------------------------------------------------------------===//
#include "TiledMma.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

constexpr int64_t kSharedLimit = 99 << 10; ///< of a CTA on the smallest chips
constexpr int64_t kManyTiles = 128;        ///< fills the larger ones once

TiledMmaTemplate::TiledMmaTemplate(LinearSpec s, const LinearTuning &tuning)
    : LinearTemplate(std::move(s)) {
  auto pick = [](int64_t asked, int64_t own) { return asked ? asked : own; };
  // Measured on an H200 (0.6B shapes): while W comes from HBM, few tokens per tile and many tiles;
  // square tiles beyond.
  const int64_t most = spec.maxTokens;
  const int64_t few = most <= 32 || spec.n <= 2048 ? 16 : 32;
  tokens = pick(tuning.tokens, most <= 128 ? few : most <= 256 ? 64 : 128);
  warpsM = tokens >= 64 ? 2 : 1;
  warpsN = 4;
  int64_t own = 128;
  while (own > 32 && ceilDiv(spec.n, own) * ceilDiv(most, tokens) < kManyTiles)
    own /= 2;
  rows = pick(tuning.rows, own);
  stages = pick(tuning.stages, std::min<int64_t>(rows >= 128 ? 4 : 6, kSharedLimit / stageBytes()));
  tile = {tokens, rows, 1, 0};
  tile.padding = 8;
  if (squaresHere()) {
    tile.squareOffset = 4 * tokens * tile.stride();
    tile.squareParts = 1;
  }
}

TilePlan TiledMmaTemplate::plan() const {
  TilePlan p;
  p.tiles = rowTiles(tile) * ceilDiv(spec.maxTokens, tokens);
  p.threads = threads();
  const int64_t results = 4 * tokens * (tile.stride() + tile.squareParts);
  p.sharedBytes = std::max(stages * stageBytes(), results);
  p.stages = stages;
  p.stageBytes = stageBytes();
  p.announce = TilePlan::Late;
  p.weightBytes = spec.n * spec.k * bytesOf(spec.w);
  return p;
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void TiledMmaTemplate::locate(GpuBuilder &b, Value tileIndex) {
  // Neighbouring tiles share rows of W.
  const int64_t tokenTiles = ceilDiv(spec.maxTokens, tokens);
  rowTile = tokenTiles == 1 ? tileIndex : b.div(tileIndex, tokenTiles);
  firstToken = tokenTiles == 1 ? b.i32(0) : b.mul(b.rem(tileIndex, tokenTiles), tokens);
  tokensInStep = tokenCount(b);
  warpM = b.div(b.warp(), warpsN);
  warpN = b.rem(b.warp(), warpsN);
}

Value TiledMmaTemplate::stage(GpuBuilder &b, Value step) {
  return b.at(b.shared(0), b.rem(step, stages), stageBytes());
}

/// `count` rows of 64 columns of K, 16 bytes per thread and turn.
void TiledMmaTemplate::copyRows(GpuBuilder &b, Value step, int64_t count, int64_t offset,
                                function_ref<Value(Value row)> rowPointer) {
  Value base = b.at(stage(b, step), offset);
  for (int64_t first = 0; first < count * 8; first += threads()) {
    Value piece = b.add(b.thread(), first);
    auto copy = [&] {
      Value row = b.div(piece, 8), chunk = b.rem(piece, 8);
      Value column = b.add(b.mul(step, 8), chunk); // in chunks of 8
      Value inside = b.less(column, spec.k / 8);
      Value from = b.at(rowPointer(row), b.select(inside, column, b.i32(0)), 16);
      Value to = b.at(b.at(base, row, 128), b.exclusiveOr(chunk, b.rem(row, 8)), 16);
      b.copyAsync(to, from, b.select(inside, b.i32(16), b.i32(0)));
    };
    if (first + threads() <= count * 8)
      copy();
    else
      b.when(b.less(piece, count * 8), copy);
  }
}

void TiledMmaTemplate::copyConstants(GpuBuilder &b, Value step) {
  copyRows(b, step, rows, xBytes(), [&](Value row) {
    return b.at(operands().w, weightRow(b, tile, rowTile, row), spec.k * 2);
  });
  if (!gammaHere())
    return;
  b.when(b.less(b.thread(), 16), [&] {
    Value column = b.add(b.mul(step, 16), b.thread()); // in chunks of 4
    Value inside = b.less(column, spec.k / 4);
    Value to = b.at(b.at(stage(b, step), b.thread(), 16), xBytes() + wBytes());
    b.copyAsync(to, b.at(operands().gamma, b.select(inside, column, b.i32(0)), 16),
                b.select(inside, b.i32(16), b.i32(0)));
  });
}

void TiledMmaTemplate::copyTokens(GpuBuilder &b, Value step) {
  copyRows(b, step, tokens, 0, [&](Value row) {
    Value token = b.min(b.add(firstToken, row), b.i32(spec.maxTokens - 1));
    return b.at(operands().x, token, spec.k * 2);
  });
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

Value TiledMmaTemplate::matrices(GpuBuilder &b, Value base, Value row, Value chunk) {
  return b.at(b.at(base, row, 128), b.exclusiveOr(chunk, b.rem(row, 8)), 16);
}

/// The diagonal blocks of x x^T for one of this warp's token blocks; warps along N share them out.
void TiledMmaTemplate::addSquares(GpuBuilder &b, ArrayRef<Values> x, Sums &sums) {
  Values mine = x.front();
  Value block = b.rem(warpN, tokenBlocks());
  for (int64_t m = 1; m < tokenBlocks(); ++m)
    for (int64_t i = 0; i < 4; ++i)
      mine[i] = b.select(b.equal(block, b.i32(m)), x[m][i], mine[i]);
  MutableArrayRef<Value> all(sums.squares);
  b.mma(spec.x, mine, {mine[0], mine[2]}, all.take_front(4));
  b.mma(spec.x, mine, {mine[1], mine[3]}, all.drop_front(4));
}

void TiledMmaTemplate::scaleByGamma(GpuBuilder &b, Value stageBase, int64_t column,
                                    MutableArrayRef<Values> x) {
  Value t = b.rem(b.lane(), 4);
  Value p = b.at(b.at(stageBase, t, 8), xBytes() + wBytes() + 4 * column);
  // Columns 2t, 2t + 1 for registers 0 and 1, 8 more for 2 and 3.
  Value gamma[4];
  for (int64_t i = 0; i < 4; ++i)
    gamma[i] = b.loadF32(b.at(p, 32 * (i / 2) + 4 * (i % 2)));
  for (Values &block : x)
    for (int64_t i = 0; i < 4; ++i) {
      auto [low, high] = b.halves(spec.x, block[i]);
      const int64_t first = i < 2 ? 0 : 2;
      block[i] = b.pack(spec.x, b.mulf(low, gamma[first]), b.mulf(high, gamma[first + 1]));
    }
}

void TiledMmaTemplate::multiply(GpuBuilder &b, Value step, Sums &sums) {
  Value base = stage(b, step), lane = b.lane();
  Value group = b.div(lane, 8), inGroup = b.rem(lane, 8);
  Value xRow = b.add(b.add(b.mul(warpM, tokenBlocks() * 16), b.mul(b.rem(group, 2), 8)), inGroup);
  Value wRow = b.add(b.mul(warpN, rowBlocks() * 8), inGroup);
  Value wBase = b.at(base, xBytes());
  for (int64_t half = 0; half < kColumns; half += 32) {
    SmallVector<Values, 8> w;
    for (int64_t n = 0; n < rowBlocks(); ++n)
      w.push_back(b.loadMatrices(matrices(b, wBase, b.add(wRow, 8 * n), b.add(group, half / 8))));
    for (int64_t part = 0; part < 2; ++part) {
      const int64_t column = half + 16 * part;
      SmallVector<Values, 8> x;
      for (int64_t m = 0; m < tokenBlocks(); ++m)
        x.push_back(b.loadMatrices(
            matrices(b, base, b.add(xRow, 16 * m), b.add(b.div(group, 2), column / 8))));
      if (squaresHere())
        addSquares(b, x, sums);
      if (gammaHere())
        scaleByGamma(b, base, column, x);
      for (int64_t m = 0; m < tokenBlocks(); ++m)
        for (int64_t n = 0; n < rowBlocks(); ++n)
          b.mma(spec.x, x[m], {w[n][2 * part], w[n][2 * part + 1]},
                MutableArrayRef<Value>(sums.d).slice(4 * (m * rowBlocks() + n), 4));
    }
  }
}

/// Accumulators to shared memory, f32 [token][row].
void TiledMmaTemplate::leave(GpuBuilder &b, Sums &sums) {
  Value lane = b.lane(), g = b.div(lane, 4), t = b.rem(lane, 4);
  const int64_t tokenBytes = 4 * tile.stride();
  Value token = b.add(b.mul(warpM, tokenBlocks() * 16), g);
  Value row = b.add(b.mul(warpN, rowBlocks() * 8), b.mul(t, 2));
  Value base = b.at(b.at(b.shared(tile.sumOffset), token, tokenBytes), row, 4);
  for (int64_t m = 0; m < tokenBlocks(); ++m)
    for (int64_t n = 0; n < rowBlocks(); ++n)
      for (int64_t i = 0; i < 4; ++i)
        b.storeF32(b.at(base, (16 * m + 8 * (i / 2)) * tokenBytes + 4 * (8 * n + i % 2)),
                   sums.d[4 * (m * rowBlocks() + n) + i]);
  if (!squaresHere())
    return;
  // Lane (g, t) holds columns 2t, 2t + 1 of row g of both blocks: the diagonal is where they meet.
  // Of warps that share a block each writes the same value.
  Value block = b.rem(warpN, tokenBlocks());
  Value first = b.add(token, b.mul(block, 16));
  Value odd = b.equal(b.rem(g, 2), b.i32(1));
  b.when(b.equal(b.div(g, 2), t), [&] {
    Value p = b.at(b.shared(tile.squareOffset), first, 4);
    b.storeF32(p, b.select(odd, sums.squares[1], sums.squares[0]));
    b.storeF32(b.at(p, 32), b.select(odd, sums.squares[7], sums.squares[6]));
  });
}

//===----------------------------------------------------------------------===//
// Emitters
//===----------------------------------------------------------------------===//

void TiledMmaTemplate::prefetch(GpuBuilder &b, Value tileIndex, Ring &) {
  locate(b, tileIndex);
  for (int64_t s = 0; s < std::min(stages - 1, steps()); ++s)
    copyConstants(b, b.i32(s));
}

void TiledMmaTemplate::mainLoop(GpuBuilder &b) {
  // The first group also holds all the constants that prefetch asked for.
  for (int64_t s = 0; s < stages - 1; ++s) {
    if (s < steps())
      copyTokens(b, b.i32(s));
    b.copyCommit();
  }
  Values carried(4 * tokenBlocks() * rowBlocks() + 8, b.f32(0));
  carried = b.loop(b.i32(0), b.i32(steps()), 1, carried, [&](Value step, ValueRange now) {
    b.copyWait(stages - 2);
    // Behind it, everyone's copies of this stage have landed and the stage before this is free.
    b.barrier();
    Value next = b.add(step, stages - 1);
    b.when(b.less(next, steps()), [&] {
      copyConstants(b, next);
      copyTokens(b, next);
    });
    b.copyCommit();
    Sums sums{Values(now.drop_back(8)), Values(now.take_back(8))};
    multiply(b, step, sums);
    Values result = sums.d;
    result.append(sums.squares.begin(), sums.squares.end());
    return result;
  });
  b.barrier();
  ValueRange all(carried);
  Sums sums{Values(all.drop_back(8)), Values(all.take_back(8))};
  leave(b, sums);
}

void TiledMmaTemplate::compute(GpuBuilder &b, Value, Ring &) {
  b.when(b.less(firstToken, tokensInStep), [&] {
    mainLoop(b);
    b.barrier();
    epilogue(b, tile, rowTile, firstToken, tokensInStep);
  });
  // An empty tile leaves its constants behind.
  b.copyCommit();
  b.copyWait(0);
}
