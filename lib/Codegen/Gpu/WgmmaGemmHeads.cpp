//===- WgmmaGemmHeads.cpp - qk_norm_rope_write behind the products --------===//
//
// A tile has whole heads of q, k or v. A warp leaves 16 tokens of a head in its staging, rounded;
// from there a lane takes 8 columns and the 8 that they are rotated with, of every fourth token,
// and eight lanes share a token's sum of squares.
//
//   q [T, Hq, D] to y; K and V to their streams, page by page; a token with slot -1 writes neither
//   numerics: those of QkNormRopeWrite.h, but for the order of the sum of squares
//
//===----------------------------------------------------------------------===//
#include "WgmmaGemm.h"

#include "sinter/Abi/sinter_abi.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

/// Lanes that share a token, and tokens of a warp's 16 that a lane has.
constexpr int64_t kLanes = kHeadRows / 2 / 8, kTokens = 16 / (kWarp / kLanes);
constexpr int64_t kTableBytes = 4 * kHeadRows;

std::pair<Values, Values> WgmmaGemmTemplate::stagedHalves(GpuBuilder &b, int64_t i) const {
  auto read = [&](int64_t offset) {
    return b.unpack(b.loadChunk(b.at(stagedChunk(b, i), offset), spec.y, 8, Access::Activation));
  };
  Values low = read(0);
  return {low, read(kHeadRows / 2 * bytesOf(spec.y))};
}

/// Eight f32 of a row of 128, or of its other half.
Chunk WgmmaGemmTemplate::eight(GpuBuilder &b, Value row, bool other) const {
  Value p = b.at(row, b.rem(b.lane(), kLanes), 32, other ? kTableBytes / 2 : 0);
  return b.loadChunk(p, DType::F32, 8, Access::Constant);
}

/// Asks for where this lane's tokens stand and go to, and for what the heads of the tile share.
void WgmmaGemmTemplate::beginHeads(GpuBuilder &b, const Place &place) {
  const LinearOperands o = operands();
  Value at = b.batchPointer(batch(), offsetof(SinterBatch, positions));
  Value to = b.batchPointer(batch(), offsetof(SinterBatch, slots));
  positions.clear();
  slots.clear();
  for (int64_t block = 0; block < majorBlocks(); ++block) {
    enterBlock(b, place, block);
    Values ownPositions, ownSlots;
    for (int64_t i = 0; i < kTokens; ++i) {
      Value token = b.min(chunkToken(b, i), b.add(tokensInStep, -1));
      ownPositions.push_back(b.loadI32(b.at(at, token, 4), Access::Constant));
      ownSlots.push_back(b.loadI32(b.at(to, token, 4), Access::Constant));
    }
    positions.push_back(ownPositions);
    slots.push_back(ownSlots);
  }
  Value isQuery = b.less(firstHead(b, place), spec.write->heads);
  if (spec.write->norm)
    for (bool other : {false, true})
      gammas[other] = eight(b, b.select(isQuery, o.qGamma, o.kGamma), other);
  keyFactor = b.f32(1);
  if (spec.write->kScale)
    keyFactor =
        b.select(isQuery, keyFactor, b.divf(keyFactor, b.loadF32(o.kScale, Access::Constant)));
}

Value WgmmaGemmTemplate::firstHead(GpuBuilder &b, const Place &place) const {
  return b.mul(place.rowTile, outputs() / kHeadRows);
}

/// The i-th of this lane's tokens.
Value WgmmaGemmTemplate::chunkToken(GpuBuilder &b, int64_t i) const {
  return b.add(b.add(warpToken, b.div(b.lane(), kLanes)), kWarp / kLanes * i);
}

/// Where the chunk of the i-th token lies in the staging.
Value WgmmaGemmTemplate::stagedChunk(GpuBuilder &b, int64_t i) const {
  Value token = b.add(b.div(b.lane(), kLanes), kWarp / kLanes * i);
  return b.at(b.at(staging, token, stagingRow()), b.rem(b.lane(), kLanes), 16);
}

/// Calls `store` for some tokens of this lane, as far as they are in the step and, in the cache,
/// have a slot, with where this lane's chunk of the head belongs.
void WgmmaGemmTemplate::eachRow(GpuBuilder &b, Value head, int64_t block, int64_t first,
                                int64_t count, bool toCache,
                                function_ref<void(int64_t i, Value to)> store) const {
  const LinearOperands o = operands();
  const PagedCache &cache = spec.write->cache;
  const int64_t heads = spec.write->heads;
  const int64_t bytes = toCache ? bytesOf(cache.type) : bytesOf(spec.y), row = kHeadRows * bytes;
  Value isValue = b.less(b.i32(heads + cache.heads - 1), head);
  Value stream = b.select(isValue, o.v, o.k);
  Value kvHead = b.add(b.sub(head, b.select(isValue, b.i32(cache.heads), b.i32(0))), -heads);
  for (int64_t i = first; i < first + count; ++i) {
    Value token = chunkToken(b, i), valid = b.less(token, tokensInStep), to;
    if (toCache) {
      Value slot = slots[static_cast<size_t>(block)][i];
      Value page = b.at(stream, b.div(slot, cache.page), cache.pageBytes);
      to = b.at(b.at(page, kvHead, cache.page * row), b.rem(slot, cache.page), row);
      valid = b.both(valid, b.less(b.i32(-1), slot));
    } else {
      to = b.at(b.at(o.y, token, heads * row), head, row);
    }
    to = b.at(to, b.rem(b.lane(), kLanes), 8 * bytes);
    b.when(valid, [&] { store(i, to); });
  }
}

/// Asks for the cosines and sines of this lane's i-th token.
std::pair<Chunk, Chunk> WgmmaGemmTemplate::askAngle(GpuBuilder &b, int64_t block, int64_t i) const {
  Value row = b.at(operands().table, positions[static_cast<size_t>(block)][i], kTableBytes);
  return {eight(b, row, false), eight(b, row, true)};
}

/// q, or k `toCache`: norm and rotation, low and high half of a head side by side. Angles that have
/// not been asked for are asked for here.
void WgmmaGemmTemplate::turn(GpuBuilder &b, Value head, bool toCache, int64_t block,
                             ArrayRef<std::pair<Chunk, Chunk>> angles) const {
  const bool norm = spec.write->norm;
  const Values gammaLow = norm ? b.unpack(gammas[0]) : Values();
  const Values gammaHigh = norm ? b.unpack(gammas[1]) : Values();
  auto turned = [&](int64_t i, const std::pair<Chunk, Chunk> &angle) {
    auto [low, high] = stagedHalves(b, i);
    Value scale = keyFactor;
    if (norm) {
      Value sum = b.f32(0);
      for (const Values *part : {&low, &high})
        for (Value v : *part)
          sum = b.fma(v, v, sum);
      for (int64_t mask = 1; mask < kLanes; mask *= 2)
        sum = b.addf(sum, b.shuffleXor(sum, mask));
      scale = b.mulf(b.rsqrt(b.fma(sum, b.f32(1.0 / kHeadRows), b.f32(spec.write->eps))), scale);
    }
    const Values cosine = b.unpack(angle.first), sine = b.unpack(angle.second);
    for (size_t j = 0; j < 8; ++j) {
      Value a = b.mulf(low[j], norm ? b.mulf(scale, gammaLow[j]) : scale);
      Value c = b.mulf(high[j], norm ? b.mulf(scale, gammaHigh[j]) : scale);
      low[j] = b.fma(a, cosine[j], b.negate(b.mulf(c, sine[j])));
      high[j] = b.fma(c, cosine[j], b.mulf(a, sine[j]));
    }
    return std::pair(low, high);
  };
  const int64_t together = spec.y == DType::BF16 ? 2 : 1; // as far as there are registers
  for (int64_t first = 0; first < kTokens; first += together) {
    SmallVector<std::pair<Chunk, Chunk>, 2> own;
    SmallVector<std::pair<Values, Values>, 2> some;
    for (int64_t i = first; i < first + together; ++i)
      own.push_back(angles.empty() ? askAngle(b, block, i) : angles[static_cast<size_t>(i)]);
    for (int64_t i = first; i < first + together; ++i)
      some.push_back(turned(i, own[static_cast<size_t>(i - first)]));
    eachRow(b, head, block, first, together, toCache, [&](int64_t i, Value to) {
      const auto &[low, high] = some[static_cast<size_t>(i - first)];
      storeHalves(b, to, toCache, low, high);
    });
  }
}

/// Eight columns of a head and the eight that they are rotated with.
void WgmmaGemmTemplate::storeHalves(GpuBuilder &b, Value to, bool toCache, const Values &low,
                                    const Values &high) const {
  const DType type = toCache ? spec.write->cache.type : spec.y;
  b.storeChunk(to, type, low);
  b.storeChunk(b.at(to, kHeadRows / 2 * bytesOf(type)), type, high);
}

void WgmmaGemmTemplate::endHeads(GpuBuilder &b, const Place &place, const Values &d) {
  const int64_t heads = outputs() / kHeadRows, perHead = kHeadRows / 8;
  const size_t each = d.size() / static_cast<size_t>(majorBlocks());
  // Rounded at once: accumulators would take twice the registers.
  SmallVector<Values, 2> words;
  for (int64_t block = 0; block < majorBlocks(); ++block) {
    const Values own(ArrayRef<Value>(d).slice(static_cast<size_t>(block) * each, each));
    enterBlock(b, place, block);
    if (spec.norm)
      findScales(b, block);
    for (int64_t head = 0; head < heads; ++head) {
      SmallVector<Values, 16> v;
      for (int64_t j = 0; j < perHead; ++j)
        v.push_back(values(b, place, own, head * perHead + j));
      words.push_back(packed(b, v));
    }
  }
  for (int64_t block = 0; block < majorBlocks(); ++block) {
    enterBlock(b, place, block);
    SmallVector<std::pair<Chunk, Chunk>, kTokens> angles;
    for (int64_t i = 0; i < kTokens && alternate; ++i) // else there are no registers for all
      angles.push_back(askAngle(b, block, i));
    for (int64_t i = 0; i < heads; ++i) {
      stagePiece(b, words[static_cast<size_t>(block * heads + i)]);
      Value head = b.add(firstHead(b, place), i);
      const int64_t keys = spec.write->heads, values = keys + spec.write->cache.heads;
      b.when(b.less(head, keys), [&] { turn(b, head, false, block, angles); });
      b.when(b.both(b.less(b.i32(keys - 1), head), b.less(head, values)),
             [&] { turn(b, head, true, block, angles); });
      b.when(b.less(b.i32(values - 1), head), [&] {
        eachRow(b, head, block, 0, kTokens, true, [&](int64_t token, Value to) {
          const auto [low, high] = stagedHalves(b, token);
          storeHalves(b, to, true, low, high);
        });
      });
      b.syncWarp();
    }
  }
}
