//===- SkinnyMma.cpp - few tokens on the tensor cores ---------------------===//
//
// y[m, n] for 2 to 8 tokens (more tokens: more tiles). W is the m16 operand of mma.m16n8k16 and
// goes from global memory to the fragments directly: K is permuted inside every 32 columns, the
// same way for W and x, so that a lane's 16 bytes of a row serve two MMAs.
//
//   lane (g, t) = (lane / 4, lane % 4) reads columns [32 s + 8 t, + 8) of rows g and g + 8 of W and
//   of token g of x; words 2j, 2j+1 of that chunk are its fragment of MMA j (j = 0, 1)
//
//   x     [T, K]   W [N, K] row-major, K % 8 == 0   gamma f32 [K]   y [T, N]
//   tile  warpsN * 16 rows of W x 8 tokens; a CTA has warpsN * warpsK warps
//   shared memory: the partial sums of a tile, f32
//   numerics: x * gamma as the sum of two bf16, so that nothing of its 16 upper bits is lost (the
//   tensor cores have time to spare); f32 accumulators, then warps in order
//
//===----------------------------------------------------------------------===//
#include "SkinnyMma.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

SkinnyMmaTemplate::SkinnyMmaTemplate(LinearSpec s, const LinearTuning &tuning)
    : LinearTemplate(std::move(s)) {
  auto pick = [](int64_t asked, int64_t own) { return asked ? asked : own; };
  // Measured on an H200: few rows or long ones take all warps along K.
  struct Shape {
    int64_t warpsN, warpsK, unroll;
  };
  const bool plain = !spec.norm || spec.xg; // gammas take registers
  const Shape own = plain && spec.k <= 1024 && spec.n > 2048
                        ? (spec.n <= 4096 ? Shape{2, 8, 4} : Shape{4, 4, 8})
                    : plain && spec.k <= 2048 && spec.n <= 2048 ? Shape{2, 16, 4}
                    : spec.n <= 2048 || spec.k > 8192           ? Shape{1, 16, 8}
                    : spec.k > 1024                             ? Shape{1, 4, 2}
                    : spec.n <= 4096                            ? Shape{2, 4, 8}
                                                                : Shape{4, 4, 4};
  warpsN = pick(tuning.warpsN, own.warpsN);
  warpsK = pick(tuning.warpsK, own.warpsK);
  unroll = std::min(slots(), pick(tuning.unroll, own.unroll));
  tile = {kTokens, warpsN * kRows, warpsK, 0};
  if (squaresHere()) {
    tile.squareOffset = 4 * tile.parts * tile.tokens * tile.rows;
    tile.squareParts = warpsK;
  }
}

TilePlan SkinnyMmaTemplate::plan() const {
  TilePlan p;
  p.tiles = rowTiles(tile) * ceilDiv(spec.maxTokens, kTokens);
  p.threads = warpsN * warpsK * kWarp;
  p.sharedBytes = 4 * (tile.parts * tile.tokens * tile.rows + tile.squareParts * tile.tokens);
  p.stages = iterations() > 1 ? 2 : 1;
  p.weightBytes = spec.n * spec.k * bytesOf(spec.w);
  return p;
}

//===----------------------------------------------------------------------===//
// Loads
//===----------------------------------------------------------------------===//

void SkinnyMmaTemplate::locate(GpuBuilder &b, Value tileIndex) {
  const int64_t tokenTiles = ceilDiv(spec.maxTokens, kTokens);
  rowTile = tokenTiles == 1 ? tileIndex : b.div(tileIndex, tokenTiles);
  firstToken = tokenTiles == 1 ? b.i32(0) : b.mul(b.rem(tileIndex, tokenTiles), kTokens);
  tokensInStep = tokenCount(b);
  Value warp = b.warp(), lane = b.lane();
  warpN = b.div(warp, warpsK);
  warpK = b.rem(warp, warpsK);
  Value g = b.div(lane, 4);
  firstChunk = b.add(b.mul(warpK, 4), b.rem(lane, 4));
  // A warp's 16 rows: 16 neighbours, or 8 gate rows and their 8 up rows.
  const bool swiglu = spec.epilogue == LinearSpec::Swiglu;
  Value low = b.add(b.mul(warpN, swiglu ? 8 : 16), g);
  Value rows[2] = {low, b.add(low, swiglu ? tile.outputs(spec) : 8)};
  for (int i = 0; i < 2; ++i)
    rowPointers[i] =
        b.at(operands().w, weightRow(b, tile, rowTile, rows[i]), spec.k * bytesOf(spec.w));
  Value token = b.min(b.add(firstToken, g), b.i32(spec.maxTokens - 1));
  tokenPointer = b.at(operands().x, token, spec.k * bytesOf(spec.x));
}

Chunk SkinnyMmaTemplate::loadAt(GpuBuilder &b, Value base, DType type, Value iteration,
                                int64_t slot, Access access) {
  const int64_t bytes = 8 * bytesOf(type), step = 4 * warpsK;
  if (partial(slot)) {
    Value chunk = b.min(b.add(firstChunk, slot * step), b.i32(chunks() - 1));
    return b.loadChunk(b.at(base, chunk, bytes), type, 8, access);
  }
  Value p = b.at(base, firstChunk, bytes);
  if (iteration)
    p = b.at(p, iteration, unroll * step * bytes);
  return b.loadChunk(b.at(p, slot * step * bytes), type, 8, access);
}

SkinnyMmaTemplate::Stage SkinnyMmaTemplate::loadConstants(GpuBuilder &b, Value iteration,
                                                          int64_t firstSlot, int64_t count) {
  Stage stage;
  for (int64_t s = firstSlot; s < firstSlot + count; ++s)
    for (Value row : rowPointers)
      stage.w.push_back(loadAt(b, row, spec.w, iteration, s, Access::Constant));
  if (gammaHere())
    for (int64_t s = firstSlot; s < firstSlot + count; ++s)
      stage.gamma.push_back(
          loadAt(b, operands().gamma, DType::F32, iteration, s, Access::Constant));
  return stage;
}

void SkinnyMmaTemplate::loadActivations(GpuBuilder &b, Stage &stage, Value iteration,
                                        int64_t firstSlot, int64_t count) {
  for (int64_t s = firstSlot; s < firstSlot + count; ++s)
    stage.x.push_back(loadAt(b, tokenPointer, spec.x, iteration, s, Access::Activation));
}

Values SkinnyMmaTemplate::pack(const Stage &stage) const {
  Values raw;
  for (const auto *list : {&stage.w, &stage.gamma, &stage.x})
    for (const Chunk &chunk : *list)
      raw.append(chunk.raw.begin(), chunk.raw.end());
  return raw;
}

SkinnyMmaTemplate::Stage SkinnyMmaTemplate::unpack(GpuBuilder &b, ValueRange raw, int64_t count,
                                                   bool withX) const {
  Stage stage;
  auto take = [&](SmallVectorImpl<Chunk> &list, int64_t chunkCount, DType type) {
    const size_t each = static_cast<size_t>(8 * bytesOf(type) / 16);
    for (int64_t i = 0; i < chunkCount; ++i) {
      list.push_back(b.withRaw({{}, type, 8}, raw.take_front(each)));
      raw = raw.drop_front(each);
    }
  };
  take(stage.w, 2 * count, spec.w);
  take(stage.gamma, gammaHere() ? count : 0, DType::F32);
  take(stage.x, withX ? count : 0, spec.x);
  return stage;
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

void SkinnyMmaTemplate::consume(GpuBuilder &b, const Stage &stage, int64_t firstSlot, int64_t count,
                                Sums &sums) {
  for (int64_t s = 0; s < count; ++s) {
    Value inside;
    if (partial(firstSlot + s))
      inside = b.less(b.add(firstChunk, (firstSlot + s) * 4 * warpsK), chunks());
    const Chunk &xChunk = stage.x[s];
    const Chunk &low = stage.w[2 * s], &high = stage.w[2 * s + 1];
    auto multiply = [&](const Values &x) {
      for (int64_t j = 0; j < 4; j += 2)
        b.mma(spec.x, {b.word(low, j), b.word(high, j), b.word(low, j + 1), b.word(high, j + 1)},
              {x[j], x[j + 1]}, sums.d);
    };
    auto masked = [&](Value v, Value zero) { return inside ? b.select(inside, v, zero) : v; };
    Values x, rest;
    if (!gammaHere()) {
      for (int64_t i = 0; i < 4; ++i)
        x.push_back(masked(b.word(xChunk, i), b.i32(0)));
      multiply(x);
      continue;
    }
    Values gamma = b.unpack(stage.gamma[s]), plain = b.unpack(xChunk);
    for (auto [i, v] : llvm::enumerate(plain)) {
      v = masked(v, b.f32(0));
      if (squaresHere())
        sums.squares = b.fma(v, v, sums.squares);
      v = b.mulf(v, gamma[i]);
    }
    for (int64_t i = 0; i < 8; i += 2) {
      x.push_back(b.pack(spec.x, plain[i], plain[i + 1]));
      auto [first, second] = b.halves(spec.x, x.back());
      rest.push_back(b.pack(spec.x, b.subf(plain[i], first), b.subf(plain[i + 1], second)));
    }
    multiply(x);
    multiply(rest);
  }
}

/// Fragments to shared memory, f32 [warpK][token][row].
void SkinnyMmaTemplate::leave(GpuBuilder &b, Sums &sums) {
  Value lane = b.lane();
  Value g = b.div(lane, 4), t = b.rem(lane, 4);
  const bool swiglu = spec.epilogue == LinearSpec::Swiglu;
  Value part = b.at(b.shared(tile.sumOffset), warpK, 4 * tile.tokens * tile.rows);
  Value base = b.at(b.at(part, t, 2 * 4 * tile.rows), b.add(b.mul(warpN, swiglu ? 8 : 16), g), 4);
  const int64_t high = 4 * (swiglu ? tile.outputs(spec) : 8), nextToken = 4 * tile.rows;
  b.storeF32(base, sums.d[0]);
  b.storeF32(b.at(base, nextToken), sums.d[1]);
  b.storeF32(b.at(base, high), sums.d[2]);
  b.storeF32(b.at(base, nextToken + high), sums.d[3]);
  if (squaresHere()) {
    Value squares = sums.squares;
    for (int64_t mask : {2, 1})
      squares = b.addf(squares, b.shuffleXor(squares, mask));
    b.when(b.equal(t, b.i32(0)), [&] {
      // Warps along N hold the same squares: each writes the same value.
      Value p = b.at(b.shared(tile.squareOffset), warpK, 4 * tile.tokens);
      b.storeF32(b.at(p, g, 4), squares);
    });
  }
}

//===----------------------------------------------------------------------===//
// Emitters
//===----------------------------------------------------------------------===//

void SkinnyMmaTemplate::prefetch(GpuBuilder &b, Value tileIndex, Ring &ring) {
  locate(b, tileIndex);
  ring.registers = pack(loadConstants(b, Value(), 0, iterations() > 1 ? unroll : lastSlots()));
}

void SkinnyMmaTemplate::compute(GpuBuilder &b, Value, Ring &ring) {
  Sums sums{Values(4, b.f32(0)), b.f32(0)};
  const int64_t full = iterations() - 1;
  Stage stage = unpack(b, ring.registers, full ? unroll : lastSlots(), false);
  loadActivations(b, stage, Value(), 0, full ? unroll : lastSlots());
  if (full > 1) {
    Values carried = pack(stage);
    const size_t stageSize = carried.size();
    carried.append(sums.d.begin(), sums.d.end());
    carried.push_back(sums.squares);
    carried = b.loop(b.i32(1), b.i32(full), 1, carried, [&](Value iteration, ValueRange now) {
      Stage next = loadConstants(b, iteration, 0, unroll);
      loadActivations(b, next, iteration, 0, unroll);
      Sums s{Values(now.slice(stageSize, 4)), now.back()};
      consume(b, unpack(b, now.take_front(stageSize), unroll, true), 0, unroll, s);
      Values result = pack(next);
      result.append(s.d.begin(), s.d.end());
      result.push_back(s.squares);
      return result;
    });
    ValueRange after(carried);
    stage = unpack(b, after.take_front(stageSize), unroll, true);
    sums = {Values(after.slice(stageSize, 4)), after.back()};
  }
  if (full) {
    Stage last = loadConstants(b, Value(), full * unroll, lastSlots());
    loadActivations(b, last, Value(), full * unroll, lastSlots());
    consume(b, stage, 0, unroll, sums);
    stage = last;
  }
  consume(b, stage, full * unroll, lastSlots(), sums);
  leave(b, sums);
  b.barrier();
  epilogue(b, tile, rowTile, firstToken, tokensInStep);
}
