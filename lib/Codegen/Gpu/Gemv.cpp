//===- Gemv.cpp - dot products on the FMA units ---------------------------===//
//
// y[m, n] for few tokens, any element types, any N and K. A lane walks K in chunks of 16 bytes, 32
// lanes and warpsK warps apart; the whole first stage of weights (rows * unroll loads of 16 bytes
// per lane) is in flight before the wait, later stages are loaded one ahead of the arithmetic.
//
//   x     [T, K]   W [N, K] row-major   gamma f32 [K]   y [T, N]
//   tile  warpsN * rows rows of W x `tokens` tokens; a CTA has warpsN * warpsK warps
//   shared memory: the partial sums of a tile, f32
//   bytes: N * K weights once per token tile; FLOPs 2 * T * N * K
//   numerics: f32 FMA; two chains per output, lanes by a fixed tree, then warps in order
//
//===----------------------------------------------------------------------===//
#include "Gemv.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

GemvTemplate::GemvTemplate(LinearSpec s, const LinearTuning &tuning)
    : LinearTemplate(std::move(s)) {
  auto pick = [](int64_t asked, int64_t own) { return asked ? asked : own; };
  width = spec.k % 8 ? 1 : 8;
  // Measured on an H200. Few rows: all of K at once over many warps. Many rows: what keeps most
  // 16-byte loads in flight.
  struct Shape {
    int64_t rows, warpsN, warpsK, unroll;
  };
  const int64_t allWarps = std::clamp<int64_t>(ceilDiv(spec.k, 8 * kWarp), 1, 12);
  const Shape own = spec.maxTokens > 1 || spec.invariant ? Shape{4, 1, 4, 2}
                    : spec.k <= 1024                     ? Shape{8, 2, 2, 2}
                    : spec.n <= 2048                     ? Shape{4, 1, allWarps, 1}
                    : spec.k <= 8192                     ? Shape{4, 1, 2, 4}
                                                         : Shape{2, 1, 16, 2};
  rows = pick(tuning.rows, own.rows);
  warpsN = pick(tuning.warpsN, own.warpsN);
  warpsK = pick(tuning.warpsK, own.warpsK);
  tokens = pick(tuning.tokens, spec.maxTokens == 1 ? 1 : spec.maxTokens == 2 ? 2 : 4);
  const int64_t perLane = slots();
  unroll = std::min(perLane, pick(tuning.unroll, own.unroll));
  tile = {tokens, warpsN * rows, warpsK, 0};
  if (squaresHere()) {
    tile.squareOffset = 4 * tile.parts * tile.tokens * tile.rows;
    tile.squareParts = warpsK;
  }
}

TilePlan GemvTemplate::plan() const {
  TilePlan p;
  p.tiles = rowTiles(tile) * ceilDiv(spec.maxTokens, tokens);
  p.threads = warpsN * warpsK * kWarp;
  p.sharedBytes = 4 * (tile.parts * tile.tokens * tile.rows + tile.squareParts * tile.tokens);
  p.stages = iterations() > 1 ? 2 : 1;
  p.weightBytes = spec.n * spec.k * bytesOf(spec.w);
  // CTAs of the next kernel that wait take room from those of a long grid. H200, 8B, one
  // token: 4.43 ms a step announcing first, 3.98 last.
  constexpr int64_t kLong = int64_t(16) << 20;
  if (p.weightBytes >= kLong)
    p.announce = TilePlan::Late;
  return p;
}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

void GemvTemplate::locate(GpuBuilder &b, Value tileIndex) {
  const int64_t tokenTiles = ceilDiv(spec.maxTokens, tokens);
  rowTile = tokenTiles == 1 ? tileIndex : b.div(tileIndex, tokenTiles);
  firstToken = tokenTiles == 1 ? b.i32(0) : b.mul(b.rem(tileIndex, tokenTiles), tokens);
  tokensInStep = tokenCount(b);
  Value warp = b.warp();
  warpN = warpsK == 1 ? warp : b.div(warp, warpsK);
  warpK = warpsK == 1 ? b.i32(0) : b.rem(warp, warpsK);
  firstChunk = b.add(b.mul(warpK, kWarp), b.lane());
  rowPointers.clear();
  const bool swiglu = spec.epilogue == LinearSpec::Swiglu;
  const int64_t own = swiglu ? rows / 2 : rows;
  for (int64_t r = 0; r < rows; ++r) {
    Value row = b.add(b.mul(warpN, own), r < own ? r : tile.outputs(spec) + r - own);
    rowPointers.push_back(
        b.at(operands().w, weightRow(b, tile, rowTile, row), spec.k * bytesOf(spec.w)));
  }
}

/// Chunk number of slot `slot`, kept inside the row.
Value GemvTemplate::chunkOf(GpuBuilder &b, int64_t slot) {
  Value chunk = b.add(firstChunk, slot * warpsK * kWarp);
  return partial(slot) ? b.min(chunk, b.i32(chunks() - 1)) : chunk;
}

Chunk GemvTemplate::loadAt(GpuBuilder &b, Value base, DType type, Value iteration, int64_t slot,
                           Access access) {
  const int64_t bytes = width * bytesOf(type);
  Value p;
  if (partial(slot)) {
    p = b.at(base, chunkOf(b, slot), bytes);
  } else {
    // One address per row, constant distances between slots.
    p = b.at(base, firstChunk, bytes);
    if (iteration)
      p = b.at(p, iteration, unroll * warpsK * kWarp * bytes);
    p = b.at(p, slot * warpsK * kWarp * bytes);
  }
  return b.loadChunk(p, type, width, access);
}

void GemvTemplate::loadConstants(GpuBuilder &b, Stage &stage, Value iteration, int64_t firstSlot,
                                 int64_t count) {
  for (int64_t s = firstSlot; s < firstSlot + count; ++s)
    for (Value row : rowPointers)
      stage.w.push_back(loadAt(b, row, spec.w, iteration, s, Access::Constant));
  if (gammaHere())
    for (int64_t s = firstSlot; s < firstSlot + count; ++s)
      stage.gamma.push_back(
          loadAt(b, operands().gamma, DType::F32, iteration, s, Access::Constant));
}

void GemvTemplate::loadActivations(GpuBuilder &b, Stage &stage, Value iteration, int64_t firstSlot,
                                   int64_t count) {
  for (int64_t s = firstSlot; s < firstSlot + count; ++s) {
    for (int64_t m = 0; m < tokens; ++m) {
      Value token = b.min(b.add(firstToken, m), b.i32(spec.maxTokens - 1));
      Value row = tokens == 1 && spec.maxTokens == 1
                      ? operands().x
                      : b.at(operands().x, token, spec.k * bytesOf(spec.x));
      stage.x.push_back(loadAt(b, row, spec.x, iteration, s, Access::Activation));
    }
  }
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

void GemvTemplate::consume(GpuBuilder &b, const Stage &stage, int64_t firstSlot, int64_t count,
                           Sums &sums) {
  for (int64_t s = 0; s < count; ++s) {
    Value inside;
    if (partial(firstSlot + s))
      inside = b.less(b.add(firstChunk, (firstSlot + s) * warpsK * kWarp), chunks());
    Values gamma = gammaHere() ? b.unpack(stage.gamma[s]) : Values();
    SmallVector<Values, 4> factors;
    for (int64_t m = 0; m < tokens; ++m) {
      Values x = b.unpack(stage.x[s * tokens + m]);
      for (auto [i, v] : llvm::enumerate(x)) {
        if (inside)
          v = b.select(inside, v, b.f32(0));
        if (squaresHere())
          sums.squares[m] = b.fma(v, v, sums.squares[m]);
        if (gammaHere())
          v = b.mulf(v, gamma[i]);
      }
      factors.push_back(x);
    }
    for (int64_t r = 0; r < rows; ++r) {
      Values w = b.unpack(stage.w[s * rows + r]);
      for (int64_t m = 0; m < tokens; ++m)
        for (int64_t i = 0; i < width; ++i) {
          Value &sum = sums.dots[2 * (r * tokens + m) + i % 2];
          sum = b.fma(w[i], factors[m][i], sum);
        }
    }
  }
}

void GemvTemplate::reduce(GpuBuilder &b, Sums &sums) {
  Value isFirst = b.equal(b.lane(), b.i32(0));
  const bool swiglu = spec.epilogue == LinearSpec::Swiglu;
  const int64_t own = swiglu ? rows / 2 : rows;
  Values totals, squares;
  for (int64_t i = 0; i < rows * tokens; ++i)
    totals.push_back(b.sumWarp(b.addf(sums.dots[2 * i], sums.dots[2 * i + 1])));
  if (squaresHere())
    for (Value v : sums.squares)
      squares.push_back(b.sumWarp(v));
  b.when(isFirst, [&] {
    Value part = b.at(b.shared(tile.sumOffset), warpK, 4 * tile.tokens * tile.rows);
    Value base = b.at(part, warpN, 4 * own);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t m = 0; m < tokens; ++m)
        b.storeF32(b.at(base, 4 * (m * tile.rows + (r < own ? r : tile.outputs(spec) + r - own))),
                   totals[r * tokens + m]);
    // Warps along N hold the same squares: each writes the same value.
    for (auto [m, v] : llvm::enumerate(squares))
      b.storeF32(b.at(b.at(b.shared(tile.squareOffset), warpK, 4 * tile.tokens),
                      4 * static_cast<int64_t>(m)),
                 v);
  });
}

//===----------------------------------------------------------------------===//
// Emitters
//===----------------------------------------------------------------------===//

void GemvTemplate::prefetch(GpuBuilder &b, Value tileIndex, Ring &ring) {
  locate(b, tileIndex);
  Stage first;
  loadConstants(b, first, Value(), 0, iterations() > 1 ? unroll : lastSlots());
  ring.registers.clear();
  for (const auto *list : {&first.w, &first.gamma})
    for (const Chunk &chunk : *list)
      ring.registers.append(chunk.raw.begin(), chunk.raw.end());
}

/// The chunks of `like` with their registers taken from `raw`, in order.
static void rebuild(GpuBuilder &b, SmallVectorImpl<Chunk> &list, size_t count, DType type,
                    int64_t width, ValueRange &raw) {
  const size_t each = width == 1 ? 1 : static_cast<size_t>(width * bytesOf(type) / 16);
  for (size_t i = 0; i < count; ++i) {
    list.push_back(b.withRaw({{}, type, width}, raw.take_front(each)));
    raw = raw.drop_front(each);
  }
}

void GemvTemplate::compute(GpuBuilder &b, Value, Ring &ring) {
  auto unpackStage = [&](ValueRange raw, int64_t count, bool withX) {
    Stage stage;
    rebuild(b, stage.w, count * rows, spec.w, width, raw);
    rebuild(b, stage.gamma, gammaHere() ? count : 0, DType::F32, width, raw);
    if (withX)
      rebuild(b, stage.x, count * tokens, spec.x, width, raw);
    return stage;
  };
  auto packStage = [](const Stage &stage) {
    Values raw;
    for (const auto *list : {&stage.w, &stage.gamma, &stage.x})
      for (const Chunk &chunk : *list)
        raw.append(chunk.raw.begin(), chunk.raw.end());
    return raw;
  };
  Sums sums{Values(2 * rows * tokens, b.f32(0)), Values(tokens, b.f32(0))};
  const int64_t full = iterations() - 1;
  Stage stage = unpackStage(ring.registers, full ? unroll : lastSlots(), false);
  loadActivations(b, stage, Value(), 0, full ? unroll : lastSlots());
  if (full > 1) {
    Values carried = packStage(stage);
    const size_t stageSize = carried.size(), dotCount = sums.dots.size();
    carried.append(sums.dots.begin(), sums.dots.end());
    carried.append(sums.squares.begin(), sums.squares.end());
    carried = b.loop(b.i32(1), b.i32(full), 1, carried, [&](Value iteration, ValueRange now) {
      Stage next;
      loadConstants(b, next, iteration, 0, unroll);
      loadActivations(b, next, iteration, 0, unroll);
      Stage current = unpackStage(now.take_front(stageSize), unroll, true);
      Sums s{Values(now.slice(stageSize, dotCount)), Values(now.drop_front(stageSize + dotCount))};
      consume(b, current, 0, unroll, s);
      Values result = packStage(next);
      result.append(s.dots.begin(), s.dots.end());
      result.append(s.squares.begin(), s.squares.end());
      return result;
    });
    ValueRange after(carried);
    stage = unpackStage(after.take_front(stageSize), unroll, true);
    sums = {Values(after.slice(stageSize, dotCount)),
            Values(after.drop_front(stageSize + dotCount))};
  }
  if (full) {
    Stage last;
    loadConstants(b, last, Value(), full * unroll, lastSlots());
    loadActivations(b, last, Value(), full * unroll, lastSlots());
    consume(b, stage, 0, unroll, sums);
    stage = last;
  }
  consume(b, stage, full * unroll, lastSlots(), sums);
  reduce(b, sums);
  b.barrier();
  epilogue(b, tile, rowTile, firstToken, tokensInStep);
}
