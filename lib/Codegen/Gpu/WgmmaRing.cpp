//===- WgmmaRing.cpp - wgmma fed by TMA -----------------------------------===//
//
// A stage's full barrier counts its bytes, its free barrier the warps that have read it. Stage and
// parity run on from tile to tile on both sides.
//
//===----------------------------------------------------------------------===//
#include "WgmmaRing.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

/// Tiles of tokens walked before the next rows of W: together they stay in the L2.
constexpr int64_t kTokenTilesTogether = 16;
constexpr int64_t kTurns = 2; ///< the first of two barriers: warpgroup 0's or 1's turn to multiply
/// Of three warpgroups with 168 registers a thread, once the first gives and the others take.
constexpr int64_t kProducerRegisters = 40, kConsumerRegisters = 232;

void WgmmaRing::arrange(int64_t wanted, int64_t wantedTokens, int64_t room, int64_t mostStreams,
                        int64_t scratch, bool scratchInRing) {
  streams = mostStreams ? std::min(mostStreams, tiles()) : tiles();
  scratchBytes = roundUp(scratch, 128);
  room -= receiveBytes + (scratchInRing ? 0 : scratchBytes) + 4 * tokens +
          16 * (wanted + wantedTokens) + 16;
  const int64_t most = single() ? std::max<int64_t>(steps(), 1) : wanted;
  stages = std::min(wanted, most);
  tokenStages = std::min(wantedTokens, single() ? most : wantedTokens);
  while (ringBytes() > room && stages > 2)
    --stages;
  while (ringBytes() > room && tokenStages > 2)
    --tokenStages;
  scratchOffset = scratchInRing ? 0 : ringBytes();
}

TilePlan WgmmaRing::plan() const {
  TilePlan p;
  p.tiles = streams;
  p.threads = groups * 128 + (yieldsRegisters ? 128 : 2 * kWarp);
  p.sharedBytes = sharedBytes();
  p.stages = stages;
  p.stageBytes = weightStage();
  p.cluster = splits;
  p.announce = announce;
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
  return splits == 1 ? b.i32(0) : b.mul(split, steps() * kColumns);
}

Value WgmmaRing::barrierAt(GpuBuilder &b, int64_t first, Value stage) const {
  return b.add(b.sharedAddress(barrierOffset() + 8 * first), b.mul(stage, 8));
}

void WgmmaRing::advance(GpuBuilder &b, Value &stage, Value &parity, int64_t count) const {
  Value next = b.add(stage, 1);
  Value wraps = b.equal(next, b.i32(count));
  stage = b.select(wraps, b.i32(0), next);
  parity = b.select(wraps, b.exclusiveOr(parity, b.i32(1)), parity);
}

/// The same for a whole tile of another warpgroup.
void WgmmaRing::skipTile(GpuBuilder &b, Value &stage, Value &parity, int64_t count) const {
  Value next = b.add(stage, steps() % count);
  Value wraps = b.less(b.i32(count - 1), next);
  stage = b.select(wraps, b.add(next, -count), next);
  Value turns = b.add(b.select(wraps, b.i32(1), b.i32(0)), steps() / count);
  parity = b.rem(b.add(parity, turns), 2);
}

/// Calls body for the tiles of the stream that this step has.
void WgmmaRing::eachTile(GpuBuilder &b, Value stream, int64_t apart, ValueRange init,
                         TileBody body) {
  if (single())
    return b.when(b.less(stream, tilesInStep), [&] { body(stream, init); });
  b.loop(stream, tilesInStep, apart, init, body);
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void WgmmaRing::loadWeights(GpuBuilder &b, const Place &place, Value stage, Value step) const {
  Value full = wFull(b, stage);
  b.mbarrierExpect(full, weightStage());
  copyWeights(b, place, stage, step, full);
}

void WgmmaRing::copyWeights(GpuBuilder &b, const Place &place, Value stage, Value step,
                            Value full) const {
  Value to = b.add(b.sharedAddress(wRing()), b.mul(stage, weightStage()));
  Value column = b.add(firstColumn(b), b.mul(step, kColumns));
  Value row = b.mul(place.rowTile, tile.outputs(spec));
  b.loadTensor(to, operand(1), column, row, full);
  if (spec.epilogue == LinearSpec::Swiglu)
    b.loadTensor(b.add(to, rows / 2 * kRowBytes), operand(1), column, b.add(row, spec.n / 2), full);
}

void WgmmaRing::loadTokens(GpuBuilder &b, const Place &place, Value stage, Value step) const {
  Value full = xFull(b, stage);
  b.mbarrierExpect(full, tokenStage());
  copyTokens(b, place, stage, step, full);
}

void WgmmaRing::copyTokens(GpuBuilder &b, const Place &place, Value stage, Value step,
                           Value full) const {
  Value to = b.add(b.sharedAddress(xRing()), b.mul(stage, tokenStage()));
  b.loadTensor(to, operand(0), b.add(firstColumn(b), b.mul(step, kColumns)), place.firstToken,
               full);
}

Value WgmmaRing::countTiles(GpuBuilder &b) const {
  return b.mul(b.div(b.add(tokensInStep, tokens - 1), tokens), rowTiles(tile));
}

void WgmmaRing::prefetch(GpuBuilder &b, Value stream, Ring &) {
  tokensInStep = tokenCount(b);
  tilesInStep = countTiles(b);
  split = splits == 1 ? b.i32(0) : b.clusterRank();
  if (resident()) {
    prefetchResident(b, stream);
    if (splits > 1)
      b.clusterArrive();
    return;
  }
  b.when(b.equal(b.thread(), b.i32(groups * 128)), [&] {
    b.prefetchTensorMap(operand(1));
    b.prefetchTensorMap(operand(0));
    for (int64_t s = 0; s < stages; ++s) {
      b.mbarrierInit(wFull(b, b.i32(s)), 1);
      b.mbarrierInit(wFree(b, b.i32(s)), readers());
    }
    for (int64_t s = 0; s < tokenStages; ++s) {
      b.mbarrierInit(xFull(b, b.i32(s)), 1);
      b.mbarrierInit(xFree(b, b.i32(s)), readers());
    }
    if (splits > 1) {
      b.mbarrierInit(b.sharedAddress(readyBarrier()), 1);
      b.mbarrierExpect(b.sharedAddress(readyBarrier()), expected(b));
    }
    b.mbarrierInitDone();
    auto load = [&] {
      const Place place = placeOf(b, stream);
      for (int64_t s = 0; s < std::min(stages, steps()); ++s)
        loadWeights(b, place, b.i32(s), b.i32(s));
    };
    if (weightsAnyway())
      load();
    else
      b.when(b.less(stream, tilesInStep), load);
  });
  // The others' mbarriers are there once they have arrived, too; `wait` waits for that.
  if (splits > 1)
    b.clusterArrive();
}

/// All of the tile's weights. An mbarrier counts `together()` steps of both operands.
void WgmmaRing::prefetchResident(GpuBuilder &b, Value stream) {
  const int64_t count = steps() / together();
  Value number = b.sub(b.thread(), b.i32(groups * 128));
  b.when(b.equal(b.div(b.thread(), kWarp), b.i32(4 * groups)), [&] {
    Value barrier = b.add(b.sharedAddress(barrierOffset()), b.mul(number, 8));
    b.when(b.less(number, count), [&] { b.mbarrierInit(barrier, 2); });
    if (splits > 1) // readyBarrier()
      b.when(b.equal(number, b.i32(count)), [&] {
        b.mbarrierInit(barrier, 1);
        b.mbarrierExpect(barrier, expected(b));
      });
    b.mbarrierInitDone();
    b.syncWarp();
    auto load = [&] {
      const Place place = placeOf(b, stream);
      b.prefetchTensorMap(operand(0));
      eachGroup(b, weightStage(),
                [&](Value full, Value step) { copyWeights(b, place, step, step, full); });
    };
    Value speaks = b.equal(number, b.i32(0));
    b.when(weightsAnyway() ? speaks : b.both(speaks, b.less(stream, tilesInStep)), load);
  });
}

void WgmmaRing::eachGroup(GpuBuilder &b, int64_t stageBytes,
                          function_ref<void(Value full, Value step)> copy) const {
  b.loop(b.i32(0), b.i32(steps() / together()), 1, [&](Value group) {
    Value full = b.add(b.sharedAddress(barrierOffset()), b.mul(group, 8));
    b.mbarrierExpect(full, together() * stageBytes);
    for (int64_t i = 0; i < together(); ++i)
      copy(full, b.add(b.mul(group, together()), i));
  });
}

void WgmmaRing::fill(GpuBuilder &b, Value stream, int64_t count, int64_t ahead,
                     function_ref<Value(Value stage)> free,
                     function_ref<void(const Place &, Value stage, Value step)> load) {
  if (single() && steps() <= ahead)
    return;
  Values start = {b.i32(ahead % count), b.i32(ahead / count), b.i32(ahead)};
  eachTile(b, stream, streams, start, [&](Value index, ValueRange carried) {
    const Place place = placeOf(b, index);
    Values next = b.loop(carried[2], b.i32(steps()), 1, carried.take_front(2),
                         [&](Value step, ValueRange now) {
                           Value stage = now[0], parity = now[1];
                           // Of a stage that was never filled, the phase before the first is over.
                           b.mbarrierWait(free(stage), b.exclusiveOr(parity, b.i32(1)));
                           load(place, stage, step);
                           advance(b, stage, parity, count);
                           return Values{stage, parity};
                         });
    next.push_back(b.i32(0));
    return next;
  });
}

void WgmmaRing::produceWeights(GpuBuilder &b, Value stream) {
  // Shared memory does not go away while copies are on their way to it.
  if (weightsAnyway())
    b.when(b.less(tilesInStep, b.add(stream, 1)), [&] {
      if (resident())
        return b.loop(b.i32(0), b.i32(steps() / together()), 1, [&](Value group) {
          Value full = b.add(b.sharedAddress(barrierOffset()), b.mul(group, 8));
          b.mbarrierArrive(full, b.equal(group, group));
          b.mbarrierWait(full, b.i32(0));
        });
      for (int64_t s = 0; s < std::min(stages, steps()); ++s)
        b.mbarrierWait(wFull(b, b.i32(s)), b.i32(0));
    });
  fill(
      b, stream, stages, std::min(stages, steps()), [&](Value stage) { return wFree(b, stage); },
      [&](const Place &place, Value stage, Value step) { loadWeights(b, place, stage, step); });
}

void WgmmaRing::produceTokens(GpuBuilder &b, Value stream) {
  b.fenceAsyncGlobal();
  if (resident()) {
    b.when(b.less(stream, tilesInStep), [&] {
      const Place place = placeOf(b, stream);
      eachGroup(b, tokenStage(),
                [&](Value full, Value step) { copyTokens(b, place, step, step, full); });
    });
    if (announce == TilePlan::Inside)
      edge->announce(b);
    return;
  }
  // The first ones without asking: nothing is in their stages yet.
  const int64_t ahead = std::min(tokenStages, steps());
  b.when(b.less(stream, tilesInStep), [&] {
    const Place place = placeOf(b, stream);
    for (int64_t s = 0; s < ahead; ++s)
      loadTokens(b, place, b.i32(s), b.i32(s));
  });
  if (announce == TilePlan::Inside)
    edge->announce(b);
  fill(
      b, stream, tokenStages, ahead, [&](Value stage) { return xFree(b, stage); },
      [&](const Place &place, Value stage, Value step) { loadTokens(b, place, stage, step); });
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// The products of a resident tile: one loop, as short as it gets, for every instruction is fetched
/// for the first time.
Values WgmmaRing::multiplyResident(GpuBuilder &b, Value w, Value x, int64_t count) {
  Values init = {b.sharedAddress(barrierOffset()), b.inDescriptor(w), b.inDescriptor(x)};
  init.append(static_cast<size_t>(count), b.f32(0));
  Values done = b.loop(b.i32(0), b.i32(steps() / together()), 1, init, [&](Value, ValueRange now) {
    Values d(now.drop_front(3));
    b.mbarrierWait(now[0], b.i32(0));
    b.wgmmaFence();
    for (int64_t step = 0; step < together(); ++step)
      for (int64_t k = 0; k < kColumns; k += 16) {
        Value wAt = b.add(now[1], (step * weightStage() + 2 * k) / 16);
        Value xAt = b.add(now[2], (step * tokenStage() + 2 * k) / 16);
        b.wgmmaOf(spec.x, major == Tokens ? xAt : wAt, major == Tokens ? wAt : xAt, d);
      }
    b.wgmmaCommit();
    Values next = {b.add(now[0], 8), b.add(now[1], together() * weightStage() / 16),
                   b.add(now[2], together() * tokenStage() / 16)};
    next.append(d.begin(), d.end());
    return next;
  });
  ValueRange after(done);
  Values d(after.drop_front(3));
  b.wgmmaWaitAll(d);
  return d;
}

/// Of a stage of 64 columns.
void WgmmaRing::multiplyStep(GpuBuilder &b, Value wStage, Value xStage, Values &d) const {
  const size_t each = d.size() / static_cast<size_t>(majorBlocks());
  for (int64_t k = 0; k < kColumns; k += 16)
    for (int64_t block = 0; block < majorBlocks(); ++block) {
      ValueRange all(d);
      Values part(all.slice(static_cast<size_t>(block) * each, each));
      Value xAt = b.add(xStage, block * 64 * kRowBytes + 2 * k), wAt = b.add(wStage, 2 * k);
      b.wgmma(spec.x, major == Tokens ? xAt : wAt, major == Tokens ? wAt : xAt, part);
      llvm::copy(part, d.begin() + static_cast<size_t>(block) * each);
    }
}

void WgmmaRing::consume(GpuBuilder &b, Value stream) {
  const int64_t count = (major == Tokens ? rows : tokens) / 2 * majorBlocks();
  Value group = groups == 1 ? b.i32(0) : b.div(warp, 4);
  Value w = b.sharedAddress(wRing()), x = b.sharedAddress(xRing());
  if (!alternate)
    (major == Tokens ? x : w) = b.add(major == Tokens ? x : w, b.mul(group, 64 * kRowBytes));
  Value speaks = b.equal(b.lane(), b.i32(0));
  const bool freesW = !single() || steps() > stages, freesX = !single() || steps() > tokenStages;
  auto release = [&](Value wStage, Value xStage, Value condition) {
    Value arrives = condition ? b.both(condition, speaks) : speaks;
    if (freesW)
      b.mbarrierArrive(wFree(b, wStage), arrives);
    if (freesX)
      b.mbarrierArrive(xFree(b, xStage), arrives);
  };
  auto skip = [&](Values &now) {
    skipTile(b, now[0], now[1], stages);
    skipTile(b, now[2], now[3], tokenStages);
  };
  Values start(4, b.i32(0));
  Value first = stream;
  if (alternate) {
    Values second = start;
    skip(second);
    Value isFirst = b.equal(group, b.i32(0));
    for (size_t i = 0; i < 4; ++i)
      start[i] = b.select(isFirst, start[i], second[i]);
    first = b.select(isFirst, stream, b.add(stream, streams));
    b.when(b.equal(group, b.i32(1)), [&] { b.barrierArrive(b.i32(kTurns), groups * 128); });
  }
  eachTile(b, first, alternate ? groups * streams : streams, start,
           [&](Value index, ValueRange carried) {
             const Place place = placeOf(b, index);
             begin(b, place);
             if (resident()) {
               Values d = multiplyResident(b, w, x, count);
               end(b, place, d);
               return Values(carried);
             }
             // An mbarrier's parity tells two phases apart, not three: nobody waits for a stage
             // before the other warpgroup has seen what comes before.
             if (alternate)
               b.barrier(b.add(group, kTurns), groups * 128);
             // Stage and parity of both rings, then sums.
             auto multiply = [&](ValueRange ring, Value steps) {
               // Between them the stages of the step before.
               Values init(ring);
               init.append({ring[0], ring[2]});
               init.append(static_cast<size_t>(count), b.f32(0));
               Values done = b.loop(b.i32(0), steps, 1, init, [&](Value step, ValueRange now) {
                 Values next(now.take_front(4));
                 Values d(now.drop_front(6));
                 b.mbarrierWait(wFull(b, now[0]), now[1]);
                 b.mbarrierWait(xFull(b, now[2]), now[3]);
                 b.wgmmaFence();
                 multiplyStep(b, b.add(w, b.mul(now[0], weightStage())),
                              b.add(x, b.mul(now[2], tokenStage())), d);
                 b.wgmmaCommit();
                 // The step before is read once only this one's products are pending.
                 b.wgmmaWait(1);
                 release(now[4], now[5], b.less(b.i32(0), step));
                 advance(b, next[0], next[1], stages);
                 advance(b, next[2], next[3], tokenStages);
                 next.append({now[0], now[2]});
                 next.append(d.begin(), d.end());
                 return next;
               });
               ValueRange after(done);
               Values d(after.drop_front(6));
               if (alternate)
                 b.barrierArrive(b.add(b.exclusiveOr(group, b.i32(1)), kTurns), groups * 128);
               b.wgmmaWaitAll(d);
               release(after[4], after[5], Value());
               Values result(after.take_front(4));
               result.append(d.begin(), d.end());
               return result;
             };
             const Values all =
                 parts == 1 ? multiply(carried, b.i32(steps())) : eachPart(b, carried, multiply);
             ValueRange after(all);
             Values d(after.drop_front(4));
             end(b, place, d);
             Values next(after.take_front(4));
             if (alternate)
               skip(next);
             return next;
           });
}

void WgmmaRing::wait(GpuBuilder &b, Edge &to) {
  edge = &to;
  // The mbarriers are there.
  if (splits > 1)
    b.clusterWait();
  else
    b.barrier();
  to.wait(b);
}

void WgmmaRing::compute(GpuBuilder &b, Value stream, Ring &) {
  warp = b.uniform(b.warp());
  tilesInStep = b.uniform(tilesInStep);
  auto producer = [&](int64_t number) {
    return b.equal(b.thread(), b.i32(groups * 128 + number * kWarp));
  };
  b.when(b.less(b.i32(groups * 4 - 1), warp), [&] {
    if (yieldsRegisters)
      b.setRegisters(false, kProducerRegisters);
    b.when(producer(1), [&] { produceTokens(b, stream); });
    b.when(producer(0), [&] { produceWeights(b, stream); });
  });
  b.when(b.less(warp, groups * 4), [&] {
    if (yieldsRegisters) {
      b.setRegisters(true, kConsumerRegisters);
      // Found again: kept over the change they would be spilled.
      warp = b.uniform(b.warp());
      tokensInStep = b.uniform(tokensInStep);
      tilesInStep = countTiles(b);
    }
    consume(b, stream);
  });
}

//===----------------------------------------------------------------------===//
// The row scale
//===----------------------------------------------------------------------===//

Values WgmmaRing::partialSums(GpuBuilder &b, Value token, Value first, int64_t count) const {
  Value base = b.at(b.at(operands().sumsIn, token, 4 * spec.sumsIn), first, 4);
  const int64_t width = sumsWidth(count);
  Values partials;
  for (int64_t i = 0; i < count; i += width) {
    Value p = b.at(base, 4 * i);
    if (width == 1)
      partials.push_back(b.loadF32(p));
    else
      partials.append(b.unpack(b.loadChunk(p, DType::F32, width, Access::Activation)));
  }
  return partials;
}

Value WgmmaRing::sumOf(GpuBuilder &b, ArrayRef<Value> partials, int64_t width) {
  Values sums(partials.take_front(static_cast<size_t>(width)));
  for (size_t i = sums.size(); i < partials.size(); ++i) {
    Value &sum = sums[i % sums.size()];
    sum = b.addf(sum, partials[i]);
  }
  for (size_t i = 1; i < sums.size(); ++i)
    sums[0] = b.addf(sums[0], sums[i]);
  return sums[0];
}

Value WgmmaRing::sumOfSquares(GpuBuilder &b, Value token, Value first, int64_t count) const {
  const int64_t rest = count % kSumsAtOnce;
  if (count <= kSumsAtOnce)
    return sumOf(b, partialSums(b, token, first, count), sumsWidth(count));
  Values sum = b.loop(b.i32(0), b.i32(count / kSumsAtOnce), 1, {b.f32(0)},
                      [&](Value i, ValueRange now) -> Values {
                        Value from = b.add(first, b.mul(i, kSumsAtOnce));
                        Values some = partialSums(b, token, from, kSumsAtOnce);
                        return {b.addf(now[0], sumOf(b, some, sumsWidth(kSumsAtOnce)))};
                      });
  if (!rest)
    return sum[0];
  Values last = partialSums(b, token, b.add(first, count - rest), rest);
  return b.addf(sum[0], sumOf(b, last, sumsWidth(rest)));
}

Value WgmmaRing::rstdOf(GpuBuilder &b, Value sum) const {
  return b.rsqrt(b.fma(sum, b.f32(1.0 / static_cast<double>(spec.k)), b.f32(spec.eps)));
}
