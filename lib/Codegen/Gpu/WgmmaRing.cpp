//===- WgmmaRing.cpp - wgmma fed by TMA -----------------------------------===//
//
// A stage's full barrier counts its bytes, of x and of W; its empty barrier the warps that have
// read it. Stage and parity run on from tile to tile on both sides.
//
//===----------------------------------------------------------------------===//
#include "WgmmaRing.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

/// Tiles of tokens walked before the next rows of W: together they stay in the L2.
constexpr int64_t kTokenTilesTogether = 16;

void WgmmaRing::arrange(int64_t wantedStages, int64_t mostStreams, int64_t scratch,
                        bool scratchInRing) {
  const int64_t fixed = scratchInRing ? 0 : roundUp(scratch, 128);
  const int64_t room = kSharedLimit - fixed - 4 * tokens;
  stages = std::max<int64_t>(2, std::min(wantedStages, room / (stageBytes() + 16)));
  streams = mostStreams ? std::min(mostStreams, tiles()) : tiles();
  if (single())
    stages = std::min(stages, std::max<int64_t>(steps(), 1));
  scratchOffset = scratchInRing ? 0 : stages * stageBytes();
  scratchBytes = roundUp(scratch, 128);
}

TilePlan WgmmaRing::plan() const {
  TilePlan p;
  p.tiles = streams;
  p.threads = groups * 128 + kWarp;
  p.sharedBytes = sharedBytes();
  p.stages = stages;
  p.stageBytes = stageBytes();
  p.cluster = cluster;
  p.weightBytes = spec.n * spec.k * bytesOf(spec.w);
  return p;
}

SmallVector<TensorMap, 2> WgmmaRing::tensorMaps() const {
  const int64_t boxRows = spec.epilogue == LinearSpec::Swiglu ? rows / 2 : rows;
  return {{0, spec.x, spec.maxTokens, spec.k, tokens, kColumns},
          {1, spec.w, spec.n, spec.k, boxRows, kColumns}};
}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

WgmmaRing::Place WgmmaRing::placeOf(GpuBuilder &b, Value index) const {
  if (tokenTiles() == 1)
    return {index, b.i32(0)};
  Value now = b.div(b.add(tokensInStep, tokens - 1), tokens);
  if (tokenTiles() <= kTokenTilesTogether) {
    Value row = b.divide(index, now);
    return {row, b.mul(b.sub(index, b.mul(row, now)), tokens)};
  }
  const int64_t perGroup = kTokenTilesTogether * rowTiles(tile);
  Value group = b.div(index, perGroup);
  Value first = b.mul(group, kTokenTilesTogether);
  Value width = b.min(b.sub(now, first), b.i32(kTokenTilesTogether));
  Value inside = b.sub(index, b.mul(group, perGroup));
  Value row = b.divide(inside, width);
  return {row, b.mul(b.add(first, b.sub(inside, b.mul(row, width))), tokens)};
}

Value WgmmaRing::firstColumn(GpuBuilder &b) const {
  return cluster == 1 ? b.i32(0) : b.mul(b.clusterRank(), steps() * kColumns);
}

Value WgmmaRing::full(GpuBuilder &b, Value stage) const {
  return b.add(b.sharedAddress(barrierOffset()), b.mul(stage, 8));
}
Value WgmmaRing::empty(GpuBuilder &b, Value stage) const {
  return b.add(b.sharedAddress(barrierOffset() + 8 * stages), b.mul(stage, 8));
}

void WgmmaRing::advance(GpuBuilder &b, Value &stage, Value &parity) const {
  Value next = b.add(stage, 1);
  Value wraps = b.equal(next, b.i32(stages));
  stage = b.select(wraps, b.i32(0), next);
  parity = b.select(wraps, b.exclusiveOr(parity, b.i32(1)), parity);
}

/// Calls body for the tiles of the stream that this step has.
void WgmmaRing::eachTile(GpuBuilder &b, Value stream, ValueRange init, TileBody body) {
  if (single())
    return b.when(b.less(stream, tilesInStep), [&] { body(stream, init); });
  b.loop(stream, tilesInStep, streams, init, body);
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void WgmmaRing::loadWeights(GpuBuilder &b, const Place &place, Value stage, Value step) const {
  Value to = b.add(b.sharedAddress(tokens * kRowBytes), b.mul(stage, stageBytes()));
  Value column = b.add(firstColumn(b), b.mul(step, kColumns));
  Value row = b.mul(place.rowTile, tile.outputs(spec));
  b.loadTensor(to, operand(1), column, row, full(b, stage));
  if (spec.epilogue == LinearSpec::Swiglu)
    b.loadTensor(b.add(to, rows / 2 * kRowBytes), operand(1), column, b.add(row, spec.n / 2),
                 full(b, stage));
}

void WgmmaRing::loadTokens(GpuBuilder &b, const Place &place, Value stage, Value step) const {
  Value to = b.add(b.sharedAddress(0), b.mul(stage, stageBytes()));
  b.loadTensor(to, operand(0), b.add(firstColumn(b), b.mul(step, kColumns)), place.firstToken,
               full(b, stage));
}

void WgmmaRing::prefetch(GpuBuilder &b, Value stream, Ring &) {
  tokensInStep = tokenCount(b);
  tilesInStep = b.mul(b.div(b.add(tokensInStep, tokens - 1), tokens), rowTiles(tile));
  b.when(b.equal(b.thread(), b.i32(groups * 128)), [&] {
    b.prefetchTensorMap(operand(0));
    b.prefetchTensorMap(operand(1));
    for (int64_t s = 0; s < stages; ++s) {
      b.mbarrierInit(full(b, b.i32(s)), 1);
      b.mbarrierInit(empty(b, b.i32(s)), 4 * groups);
    }
    b.mbarrierInitDone();
    b.when(b.less(stream, tilesInStep), [&] {
      const Place place = placeOf(b, stream);
      for (int64_t s = 0; s < prefetched(); ++s) {
        b.mbarrierExpect(full(b, b.i32(s)), stageBytes());
        loadWeights(b, place, b.i32(s), b.i32(s));
      }
    });
  });
}

void WgmmaRing::produce(GpuBuilder &b, Value stream) {
  b.fenceAsyncGlobal();
  b.when(b.less(stream, tilesInStep), [&] {
    const Place place = placeOf(b, stream);
    for (int64_t s = 0; s < prefetched(); ++s)
      loadTokens(b, place, b.i32(s), b.i32(s));
  });
  const int64_t ahead = prefetched();
  Values start = {b.i32(ahead % stages), b.i32(ahead / stages), b.i32(ahead)};
  eachTile(b, stream, start, [&](Value index, ValueRange carried) {
    const Place place = placeOf(b, index);
    Values next = b.loop(carried[2], b.i32(steps()), 1, carried.take_front(2),
                         [&](Value step, ValueRange now) {
                           Value stage = now[0], parity = now[1];
                           // Of a stage that was never filled, the phase before the first is over.
                           b.mbarrierWait(empty(b, stage), b.exclusiveOr(parity, b.i32(1)));
                           b.mbarrierExpect(full(b, stage), stageBytes());
                           loadWeights(b, place, stage, step);
                           loadTokens(b, place, stage, step);
                           advance(b, stage, parity);
                           return Values{stage, parity};
                         });
    next.push_back(b.i32(0));
    return next;
  });
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

void WgmmaRing::consume(GpuBuilder &b, Value stream) {
  const int64_t x = 0, w = tokens * kRowBytes;
  const int64_t ownBase = major == Tokens ? x : w, otherBase = major == Tokens ? w : x;
  const int64_t count = (major == Tokens ? rows : tokens) / 2;
  Value group = groups == 1 ? b.i32(0) : b.div(warp, 4);
  Value own = b.add(b.sharedAddress(ownBase), b.mul(group, 64 * kRowBytes));
  Value other = b.sharedAddress(otherBase);
  Value speaks = b.equal(b.lane(), b.i32(0));
  eachTile(b, stream, {b.i32(0), b.i32(0)}, [&](Value index, ValueRange carried) {
    const Place place = placeOf(b, index);
    begin(b, place);
    Values init = {carried[0], carried[1], carried[0]};
    init.append(static_cast<size_t>(count), b.f32(0));
    Values done = b.loop(b.i32(0), b.i32(steps()), 1, init, [&](Value step, ValueRange now) {
      Value stage = now[0], parity = now[1];
      Values d(now.drop_front(3));
      b.mbarrierWait(full(b, stage), parity);
      Value offset = b.mul(stage, stageBytes());
      b.wgmmaFence();
      for (int64_t k = 0; k < kColumns; k += 16)
        b.wgmma(spec.x, b.add(b.add(own, offset), 2 * k), b.add(b.add(other, offset), 2 * k), d);
      b.wgmmaCommit();
      // The stage before is read once only this one's products are pending.
      b.wgmmaWait(1);
      b.mbarrierArrive(empty(b, now[2]), b.both(speaks, b.less(b.i32(0), step)));
      Values next = {stage, parity, stage};
      advance(b, next[0], next[1]);
      next.append(d.begin(), d.end());
      return next;
    });
    Values d(ValueRange(done).drop_front(3));
    b.wgmmaWaitAll(d);
    b.mbarrierArrive(empty(b, done[2]), speaks);
    end(b, place, d);
    return Values{done[0], done[1]};
  });
}

void WgmmaRing::compute(GpuBuilder &b, Value stream, Ring &) {
  b.barrier(); // the mbarriers are there
  warp = b.uniform(b.warp());
  tilesInStep = b.uniform(tilesInStep);
  b.when(b.equal(b.thread(), b.i32(groups * 128)), [&] { produce(b, stream); });
  b.when(b.less(warp, groups * 4), [&] { consume(b, stream); });
  finish(b, stream);
}

//===----------------------------------------------------------------------===//
// The row scale
//===----------------------------------------------------------------------===//

/// Sum of `count` of the token's partial sums of squares, in order.
Value WgmmaRing::rowScale(GpuBuilder &b, Value token, Value first, int64_t count) const {
  Value base = b.at(b.at(operands().sumsIn, token, 4 * spec.sumsIn), first, 4);
  const int64_t width = count % 4 == 0 && spec.sumsIn % 4 == 0 ? 4 : 1;
  auto some = [&](Value from, int64_t pieces, Values sums) {
    for (int64_t i = 0; i < pieces; ++i) {
      Value p = b.at(from, 4 * width * i);
      Values v = width == 1 ? Values{b.loadF32(p)}
                            : b.unpack(b.loadChunk(p, DType::F32, 4, Access::Activation));
      for (auto [lane, each] : llvm::enumerate(v))
        sums[lane] = b.addf(sums[lane], each);
    }
    return sums;
  };
  constexpr int64_t kUnrolled = 16;
  const int64_t pieces = count / width, inLoop = pieces / kUnrolled;
  Values sums(static_cast<size_t>(width), b.f32(0));
  if (inLoop)
    sums = b.loop(b.i32(0), b.i32(inLoop), 1, sums, [&](Value i, ValueRange now) {
      return some(b.at(base, i, 4 * width * kUnrolled), kUnrolled, Values(now));
    });
  sums = some(b.at(base, inLoop * kUnrolled * width * 4), pieces % kUnrolled, sums);
  Value sum = sums[0];
  for (int64_t i = 1; i < width; ++i)
    sum = b.addf(sum, sums[i]);
  return sum;
}

Value WgmmaRing::rstdOf(GpuBuilder &b, Value sum) const {
  return b.rsqrt(b.fma(sum, b.f32(1.0 / static_cast<double>(spec.k)), b.f32(spec.eps)));
}
