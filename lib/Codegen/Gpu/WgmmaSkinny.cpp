//===- WgmmaSkinny.cpp - few tokens on Hopper's tensor cores --------------===//
//
// y[m, n] for 8 to 128 tokens per tile: wgmma m64nMk16 with rows of W as m, tokens as n.
//
//   x     [T, K] and W [N, K] as tensor maps, K % 8 == 0   y [T, N]
//   tile  64 or 128 rows of W (with SwiGLU half gate, half up) x `tokens` tokens; K is split over
//         CTAs of a cluster, each of which finishes its share of the tokens out of all their sums
//   shared memory: the rings; the tile's sums, f32 [token][row], where the rings were if they are
//         not needed any more
//   bytes: W once per token tile, x once per row tile; FLOPs 2 * T * N * K
//   numerics: f32 accumulators over a CTA's part of K in order, then the cluster's CTAs in order
//
//===----------------------------------------------------------------------===//
#include "WgmmaSkinny.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

constexpr int64_t kRoom = 200 << 10; ///< for rings

WgmmaSkinnyTemplate::WgmmaSkinnyTemplate(LinearSpec s, const LinearTuning &tuning)
    : WgmmaRing(std::move(s), WeightRows) {
  auto pick = [](int64_t asked, int64_t own) { return asked ? asked : own; };
  rows = pick(tuning.rows, 64);
  groups = rows / 64;
  tokens = pick(tuning.tokens, roundUp(ceilDiv(spec.maxTokens, ceilDiv(spec.maxTokens, 128)), 8));
  tile = {tokens, rows, 1, 0};
  tile.padding = 4; // of a fragment's stores no two meet in a bank
  tile.warps = 4 * groups;
  chunked = spec.outputs() % 8 == 0;
  // Measured on an H200: half as many CTAs as processors for short rows, as many for long ones.
  const int64_t enough = spec.k > 4096 ? kProcessors : kProcessors / 2;
  int64_t own = 1;
  while (own < 8 && 2 * own * tiles() <= enough && 2 * own <= ceilDiv(spec.k, kColumns))
    own *= 2;
  // Two, where one could not ask for all of its tile at once.
  if (own == 1 && ceilDiv(spec.k, kColumns) * (weightStage() + tokenStage()) > kRoom &&
      2 * tiles() <= kProcessors)
    own = 2;
  splits = chunked ? pick(tuning.splits, own) : 1;
  const int64_t scratch = 4 * tokens * tile.stride();
  // A CTA that takes several tiles copies ahead while it finishes one; two of them fit a processor.
  // One that takes a tile asks for all of it at once if it can. It leaves no room for the next
  // kernel's, whose weights would come between this one and its tokens.
  const int64_t most = splits > 1 ? 0 : tuning.maxTiles ? tuning.maxTiles : 2 * kProcessors;
  const bool one = splits > 1 || most >= tiles();
  const int64_t room = one || tuning.stages ? kRoom : kHalfShared;
  const int64_t wanted =
      std::clamp<int64_t>(room / (weightStage() + tokenStage()), 2, one ? 16 : 12);
  arrange(pick(tuning.stages, wanted), pick(tuning.tokenStages, wanted), room, most, scratch, one);
  if (spec.norm)
    tile.rstdOffset = rstdOffset();
  tile.sumOffset = scratchOffset;
}

//===----------------------------------------------------------------------===//
// Before the products
//===----------------------------------------------------------------------===//

/// Row scales of the tile's tokens, a thread each; residuals of this thread's results.
void WgmmaSkinnyTemplate::begin(GpuBuilder &b, const Place &place) {
  residuals.clear();
  if (spec.residual && chunked)
    for (int64_t pass = 0; pass < passes(); ++pass) {
      const Item item = itemOf(b, place, pass);
      const int64_t bytes = bytesOf(spec.y);
      Value row = b.at(operands().residual, item.globalToken, spec.outputs() * bytes);
      residuals.push_back(
          b.loadChunk(b.at(row, item.column, bytes), spec.y, 8, Access::Activation));
    }
  if (!spec.norm)
    return;
  b.when(b.less(b.thread(), tokens), [&] {
    Value token = b.min(b.add(place.firstToken, b.thread()), b.i32(spec.maxTokens - 1));
    b.storeF32(b.at(b.shared(rstdOffset()), b.thread(), 4),
               rstdOf(b, sumOfSquares(b, token, b.i32(0), spec.sumsIn)));
  });
}

//===----------------------------------------------------------------------===//
// Chunks of results
//===----------------------------------------------------------------------===//

WgmmaSkinnyTemplate::Item WgmmaSkinnyTemplate::itemOf(GpuBuilder &b, const Place &place,
                                                      int64_t pass) const {
  Item item;
  Value id = b.add(b.thread(), pass * threads());
  Value token = b.div(id, perToken());
  item.chunk = b.rem(id, perToken());
  item.first = b.equal(item.chunk, b.i32(0));
  item.token = b.min(token, b.i32(slice() - 1));
  Value inTile = splits == 1 ? token : b.add(b.mul(split, slice()), token);
  Value global = b.add(place.firstToken, inTile);
  item.tokenValid = b.both(b.less(token, slice()), b.less(global, tokensInStep));
  if (splits * slice() != tokens)
    item.tokenValid = b.both(item.tokenValid, b.less(inTile, tokens));
  item.globalToken = b.min(global, b.i32(spec.maxTokens - 1));
  Value column = b.add(b.mul(place.rowTile, tile.outputs(spec)), b.mul(item.chunk, 8));
  item.valid = b.both(item.tokenValid, b.less(column, spec.outputs()));
  item.column = b.min(column, b.i32(spec.outputs() - 8));
  return item;
}

/// 8 sums: of the cluster's CTAs, in order.
Values WgmmaSkinnyTemplate::sumOf(GpuBuilder &b, const Item &item, int64_t firstRow) const {
  Value inTile = splits == 1 ? item.token : b.add(b.mul(split, slice()), item.token);
  if (splits * slice() != tokens)
    inTile = b.min(inTile, b.i32(tokens - 1));
  Values sum;
  for (int64_t part = 0; part < splits; ++part) {
    Value base = splits == 1 ? b.shared(tile.sumOffset) : b.sharedOf(tile.sumOffset, part);
    Value p = b.at(b.at(base, inTile, 4 * tile.stride()), item.chunk, 32, 4 * firstRow);
    Values v = b.unpack(b.loadChunk(p, DType::F32, 8, Access::Activation));
    for (size_t i = 0; i < v.size(); ++i)
      v[i] = part ? b.addf(sum[i], v[i]) : v[i];
    sum = v;
  }
  return sum;
}

Values WgmmaSkinnyTemplate::valuesOf(GpuBuilder &b, const Item &item, int64_t pass) const {
  Value scale;
  if (spec.norm) {
    Value inTile = splits == 1 ? item.token
                               : b.min(b.add(b.mul(split, slice()), item.token), b.i32(tokens - 1));
    scale = b.loadF32(b.at(b.shared(rstdOffset()), inTile, 4));
  }
  auto some = [&](int64_t firstRow, int64_t firstOutput) {
    Values v = sumOf(b, item, firstRow), bias;
    if (spec.bias)
      bias = b.unpack(b.loadChunk(b.at(operands().bias, item.column, 4, 4 * firstOutput),
                                  DType::F32, 8, Access::Constant));
    for (size_t i = 0; i < v.size(); ++i) {
      if (scale)
        v[i] = b.mulf(v[i], scale);
      if (spec.bias)
        v[i] = b.addf(v[i], bias[i]);
    }
    return v;
  };
  Values v = some(0, 0);
  if (spec.epilogue == LinearSpec::Swiglu) {
    Values up = some(tile.outputs(spec), spec.outputs());
    for (size_t i = 0; i < v.size(); ++i)
      v[i] = b.mulf(b.silu(v[i]), up[i]);
  }
  if (spec.residual) {
    Values r = b.unpack(residuals[pass]);
    for (size_t i = 0; i < v.size(); ++i)
      v[i] = b.addf(v[i], r[i]);
  }
  return v;
}

void WgmmaSkinnyTemplate::storeItem(GpuBuilder &b, const Place &place, const Item &item,
                                    const Values &v) const {
  const LinearOperands o = operands();
  const int64_t all = spec.outputs(), bytes = bytesOf(spec.y);
  auto place16 = [&](Value base) {
    return b.at(b.at(base, item.globalToken, all * bytes), item.column, bytes);
  };
  auto slot = [&](Value base) {
    return b.at(b.at(base, item.globalToken, 4 * partials()), place.rowTile, 4);
  };
  Value speaks = b.both(item.first, item.tokenValid);
  if (spec.epilogue == LinearSpec::Argmax) {
    Candidate best = noCandidate(b);
    const Candidate none = best;
    for (size_t i = 0; i < v.size(); ++i)
      best =
          better(b, best,
                 {b.select(item.valid, v[i], none.value),
                  b.select(item.valid, b.add(item.column, static_cast<int64_t>(i)), none.index)});
    for (int64_t mask = 1; mask < perToken(); mask *= 2)
      best = better(b, best, {b.shuffleXor(best.value, mask), b.shuffleXor(best.index, mask)});
    return b.when(speaks, [&] {
      b.storeF32(slot(o.y), best.value);
      b.storeI32(slot(o.index), best.index);
    });
  }
  b.when(item.valid, [&] { b.storeChunk(place16(o.y), spec.y, v); });
  if (spec.sumsOut) {
    Value squares = b.f32(0);
    for (Value each : v) {
      Value written = b.select(item.valid, b.rounded(each, spec.y), b.f32(0));
      squares = b.fma(written, written, squares);
    }
    for (int64_t mask = 1; mask < perToken(); mask *= 2)
      squares = b.addf(squares, b.shuffleXor(squares, mask));
    b.when(speaks, [&] { b.storeF32(slot(o.sumsOut), squares); });
  }
  if (spec.xgOut) {
    Values gamma =
        b.unpack(b.loadChunk(b.at(o.gammaNext, item.column, 4), DType::F32, 8, Access::Constant));
    Values xg;
    for (size_t i = 0; i < v.size(); ++i)
      xg.push_back(b.mulf(b.rounded(v[i], spec.y), gamma[i]));
    b.when(item.valid, [&] { b.storeChunk(place16(o.xgOut), spec.y, xg); });
  }
}

void WgmmaSkinnyTemplate::results(GpuBuilder &b, const Place &place) {
  if (!chunked)
    return epilogue(b, tile, place.rowTile, place.firstToken, tokensInStep);
  // Loads of a few chunks before the stores of the first.
  constexpr int64_t kTogether = 4;
  for (int64_t from = 0; from < passes(); from += kTogether) {
    SmallVector<Item, kTogether> items;
    SmallVector<Values, kTogether> values;
    for (int64_t pass = from; pass < std::min(from + kTogether, passes()); ++pass) {
      items.push_back(itemOf(b, place, pass));
      values.push_back(valuesOf(b, items.back(), pass));
    }
    for (size_t i = 0; i < items.size(); ++i)
      storeItem(b, place, items[i], values[i]);
  }
}

//===----------------------------------------------------------------------===//
// After the products
//===----------------------------------------------------------------------===//

/// Waits until the sums of all CTAs of the cluster are there: a lane tells each of them.
void WgmmaSkinnyTemplate::meet(GpuBuilder &b) {
  Value ready = b.sharedAddress(readyBarrier());
  b.when(b.both(b.equal(warp, b.i32(0)), b.less(b.lane(), splits)),
         [&] { b.mbarrierArriveCluster(b.inCluster(ready, b.lane())); });
  b.mbarrierWaitCluster(ready, b.i32(0));
}

/// Fragments to shared memory: register 4 j + 2 i + c is row g + 8 i of the warp's 16, token
/// 8 j + 2 t + c.
void WgmmaSkinnyTemplate::end(GpuBuilder &b, const Place &place, Values &d) {
  if (single())
    syncConsumers(b); // the sums take the place of the ring
  Value lane = b.lane(), g = b.div(lane, 4), t = b.rem(lane, 4);
  const int64_t next = 4 * tile.stride();
  Value base = b.at(b.at(b.shared(tile.sumOffset), t, 2 * next), b.add(b.mul(warp, 16), g), 4);
  for (int64_t j = 0; j < tokens / 8; ++j)
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t c = 0; c < 2; ++c)
        b.storeF32(b.at(base, (8 * j + c) * next + 32 * i), d[4 * j + 2 * i + c]);
  syncConsumers(b);
  if (splits > 1)
    meet(b);
  results(b, place);
  if (!single())
    syncConsumers(b);
}
