//===- WgmmaSkinny.cpp - few tokens on Hopper's tensor cores --------------===//
//
// y[m, n] for 8 to 128 tokens per tile: wgmma m64nMk16 with rows of W as m, tokens as n.
//
//   x     [T, K] and W [N, K] as tensor maps, K % 8 == 0   y [T, N]
//   tile  64, 128 or 192 rows of W (with SwiGLU half gate, half up) x `tokens` tokens; K is split
//         over CTAs of a cluster, each of which finishes its share of the tokens out of all their
//         sums
//   shared memory: the rings; the sums of this CTA's tokens, f32 [token][row], where the rings were
//         if they are not needed any more; what the cluster's other CTAs send
//   bytes: W once per token tile, x once per row tile; FLOPs 2 * T * N * K
//   numerics: f32 accumulators over a CTA's part of K in order, then its own part of K and those of
//         the cluster's other CTAs in order
//
//===----------------------------------------------------------------------===//
#include "WgmmaSkinny.h"

#include <tuple>

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

constexpr int64_t kRoom = 226 << 10; ///< for rings
/// Rows of W in a tile and CTAs that split K, where K is long enough for a processor to be busy
/// with what it takes in: the least of it, of W and x together. H200, 8B, 32 tokens: 5.11 -> 4.84
/// ms a step.
std::pair<int64_t, int64_t> WgmmaSkinnyTemplate::cutLong() const {
  const bool sharesChunks = spec.epilogue == LinearSpec::Argmax || spec.sumsOut;
  std::pair<int64_t, int64_t> best{64, 1};
  int64_t least = 0;
  for (int64_t r : {64, 128, 192})
    for (int64_t parts : {1, 2}) { // more parts do not cover the chip
      const int64_t all = ceilDiv(spec.n, r) * ceilDiv(spec.maxTokens, tokens);
      if ((r == 192 && sharesChunks) || (parts > 1 && parts * all > kProcessors))
        continue;
      const int64_t cost = ceilDiv(parts * all, kProcessors) *
                           ceilDiv(ceilDiv(spec.k, kColumns), parts) * (r + tokens);
      if (!least || cost < least)
        least = cost, best = {r, parts};
    }
  return best;
}

constexpr int64_t kHoldsAll = 200 << 10; ///< that leaves room for what a cluster exchanges

WgmmaSkinnyTemplate::WgmmaSkinnyTemplate(LinearSpec s, const LinearTuning &tuning)
    : WgmmaRing(std::move(s), WeightRows) {
  auto pick = [](int64_t asked, int64_t own) { return asked ? asked : own; };
  announce = static_cast<TilePlan::Announce>(pick(tuning.announce, 1) - 1);
  tokens = pick(tuning.tokens, roundUp(ceilDiv(spec.maxTokens, ceilDiv(spec.maxTokens, 128)), 8));
  // Measured on an H200: twice the rows halve what the CTAs read of x, where two of them hold all.
  const bool wide = tokens > 32 && tokens <= 64 && !tuning.splits && !spec.invariant &&
                    spec.outputs() % 8 == 0 && spec.n > 2048 &&
                    2 * ceilDiv(spec.n, 128) <= kProcessors &&
                    ceilDiv(spec.k, 2 * kColumns) * (128 + tokens) * kRowBytes <= kHoldsAll;
  rows = pick(tuning.rows, wide ? 128 : 64);
  const bool isLong = spec.k >= 4096 && tokens <= 64 && !tuning.rows && !tuning.splits &&
                      !spec.invariant && spec.outputs() % 8 == 0;
  int64_t longSplits = 1;
  if (isLong)
    std::tie(rows, longSplits) = cutLong();
  groups = rows / 64;
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
  if (wide && rows == 128)
    own = 2;
  // Of few tokens the next kernel's CTAs take their share of the weights while these finish, if
  // both fit a processor.
  const auto fits = [&](int64_t parts) {
    return ceilDiv(ceilDiv(spec.k, kColumns), parts) * (weightStage() + tokenStage()) <=
           kHalfShared - (8 << 10);
  };
  if (tokens <= 32 && !fits(own) && (own > 1 || tiles() > enough))
    for (int64_t parts : {2, 4, 6, 8})
      if (parts > own && fits(parts) && parts * tiles() <= 2 * kProcessors &&
          ceilDiv(spec.k, kColumns) % parts == 0) {
        own = parts;
        break;
      }
  if (isLong)
    own = longSplits;
  if (spec.invariant)
    own = fixedParts(spec);
  splits = chunked ? pick(tuning.splits, own) : 1;
  if (!tuning.announce && spec.norm && splits > 1)
    announce = TilePlan::Inside;
  const int64_t scratch = 4 * slice() * tile.stride();
  receiveBytes = splits > 1 ? (splits - 1) * blocks() * 16 * threads() : 0;
  // A CTA that takes several tiles copies ahead while it finishes one; two of them fit a processor.
  // One that takes a tile asks for all of it at once if it can. It leaves no room for the next
  // kernel's, whose weights would come between this one and its tokens.
  // Of some numbers of tiles one CTA a processor, with all of its memory, gets an equal share where
  // two would not.
  const int64_t rounds = ceilDiv(tiles(), kProcessors);
  const bool alone = tiles() > 2 * kProcessors && rounds < 2 * ceilDiv(tiles(), 2 * kProcessors);
  const int64_t most = splits > 1        ? 0
                       : tuning.maxTiles ? tuning.maxTiles
                       : alone           ? ceilDiv(tiles(), rounds)
                                         : 2 * kProcessors;
  const bool one = splits > 1 || most >= tiles();
  const int64_t room = one || alone || tuning.stages ? kRoom : kHalfShared;
  const int64_t wanted =
      std::clamp<int64_t>(room / (weightStage() + tokenStage()), 2, one || alone ? 16 : 12);
  arrange(pick(tuning.stages, wanted), pick(tuning.tokenStages, wanted), room, most, scratch, one);
  if (spec.norm)
    tile.rstdOffset = rstdOffset();
  tile.sumOffset = scratchOffset;
}

//===----------------------------------------------------------------------===//
// Before the products
//===----------------------------------------------------------------------===//

/// Asks for the row scale of a token, a thread each, and for residuals of this thread's results:
/// nobody waits for them before the products are done.
void WgmmaSkinnyTemplate::begin(GpuBuilder &b, const Place &place) {
  residuals.clear();
  gammas.clear();
  if (spec.xgOut && chunked)
    for (int64_t pass = 0; pass < passes(); ++pass)
      gammas.push_back(b.loadChunk(b.at(operands().gammaNext, itemOf(b, place, pass).column, 4),
                                   DType::F32, 8, Access::Constant));
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
  Value token = b.min(b.thread(), b.i32(tokens - 1));
  token = b.min(b.add(place.firstToken, token), b.i32(spec.maxTokens - 1));
  rstd = rstdOf(b, sumOfSquares(b, token, b.i32(0), spec.sumsIn));
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

/// 8 sums.
Values WgmmaSkinnyTemplate::sumOf(GpuBuilder &b, const Item &item, int64_t firstRow) const {
  Value row = b.at(b.shared(tile.sumOffset), item.token, 4 * tile.stride());
  return b.unpack(
      b.loadChunk(b.at(row, item.chunk, 32, 4 * firstRow), DType::F32, 8, Access::Activation));
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
                                    const Values &v, int64_t pass) const {
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
    Values gamma = b.unpack(gammas[pass]);
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
      storeItem(b, place, items[i], values[i], from + static_cast<int64_t>(i));
  }
}

//===----------------------------------------------------------------------===//
// After the products
//===----------------------------------------------------------------------===//

Value WgmmaSkinnyTemplate::expected(GpuBuilder &b) const {
  Value own = b.min(b.i32(blocks()), b.sub(b.i32(tokens / 8), b.mul(split, blocks())));
  own = b.select(b.less(own, 0), b.i32(0), own);
  return b.mul(own, (splits - 1) * 16 * threads());
}

/// Sends every CTA of the cluster the sums of its tokens and adds up what the others send. Of a
/// block of 8 tokens every thread has the same registers in all CTAs: what they send is
/// [CTA, without the receiver][block][thread], 16 bytes each.
Values WgmmaSkinnyTemplate::exchange(GpuBuilder &b, const Values &d) {
  const int64_t each = 16 * threads();
  Value ready = b.sharedAddress(readyBarrier());
  Value mine = b.add(b.sharedAddress(receiveOffset()), b.mul(b.thread(), 16));
  Values own(static_cast<size_t>(4 * blocks()), b.f32(0));
  for (int64_t owner = 0; owner < splits; ++owner) {
    Value isOwn = b.equal(split, b.i32(owner));
    Value part = b.select(b.less(split, owner), split, b.add(split, -1));
    Value to = b.inCluster(b.add(mine, b.mul(part, blocks() * each)), b.i32(owner));
    Value barrier = b.inCluster(ready, b.i32(owner)), sends = b.equal(isOwn, b.less(b.i32(1), 0));
    for (int64_t j = 0; j < blocks() && owner * blocks() + j < tokens / 8; ++j) {
      ArrayRef<Value> v = ArrayRef(d).slice(static_cast<size_t>(4 * (owner * blocks() + j)), 4);
      b.storeCluster(b.add(to, j * each), v, barrier, sends);
      for (size_t e = 0; e < 4; ++e)
        own[4 * static_cast<size_t>(j) + e] =
            b.select(isOwn, v[e], own[4 * static_cast<size_t>(j) + e]);
    }
  }
  b.mbarrierWaitCluster(ready, b.i32(0));
  Value from = b.at(b.shared(receiveOffset()), b.thread(), 16);
  if (spec.invariant && splits > 2)
    return inOrder(b, from, own);
  for (int64_t part = 0; part < splits - 1; ++part)
    for (int64_t j = 0; j < blocks(); ++j) {
      Value p = b.at(from, (part * blocks() + j) * each);
      Values v = b.unpack(b.loadChunk(p, DType::F32, 4, Access::Activation));
      for (size_t e = 0; e < 4; ++e)
        own[4 * static_cast<size_t>(j) + e] = b.addf(own[4 * static_cast<size_t>(j) + e], v[e]);
    }
  return own;
}

/// Adds up the parts of K as they follow each other, whichever of them is this CTA's.
Values WgmmaSkinnyTemplate::inOrder(GpuBuilder &b, Value received, const Values &own) {
  const int64_t each = 16 * threads();
  Values sums;
  for (int64_t part = 0; part < splits; ++part) {
    Value isOwn = b.equal(split, b.i32(part));
    Value place = b.select(b.less(split, part), b.i32(part - 1), b.i32(part));
    Value at = b.at(received, b.min(place, b.i32(splits - 2)), blocks() * each);
    for (int64_t j = 0; j < blocks(); ++j) {
      Values v = b.unpack(b.loadChunk(b.at(at, j * each), DType::F32, 4, Access::Activation));
      for (size_t e = 0; e < 4; ++e) {
        const size_t i = 4 * static_cast<size_t>(j) + e;
        Value one = b.select(isOwn, own[i], v[e]);
        if (part == 0)
          sums.push_back(one);
        else
          sums[i] = b.addf(sums[i], one);
      }
    }
  }
  return sums;
}

/// Fragments to shared memory: register 4 j + 2 i + c is row g + 8 i of the warp's 16, token
/// 8 j + 2 t + c.
void WgmmaSkinnyTemplate::end(GpuBuilder &b, const Place &place, Values &d) {
  const Values sums = splits > 1 ? exchange(b, d) : d;
  if (single())
    syncConsumers(b); // the sums take the place of the ring
  Value lane = b.lane(), g = b.div(lane, 4), t = b.rem(lane, 4);
  const int64_t next = 4 * tile.stride();
  Value base = b.at(b.at(b.shared(tile.sumOffset), t, 2 * next), b.add(b.mul(warp, 16), g), 4);
  for (int64_t j = 0; j < static_cast<int64_t>(sums.size()) / 4; ++j)
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t c = 0; c < 2; ++c)
        b.storeF32(b.at(base, (8 * j + c) * next + 32 * i), sums[4 * j + 2 * i + c]);
  if (spec.norm)
    b.when(b.less(b.thread(), tokens),
           [&] { b.storeF32(b.at(b.shared(rstdOffset()), b.thread(), 4), rstd); });
  syncConsumers(b);
  results(b, place);
  if (!single())
    syncConsumers(b);
}
