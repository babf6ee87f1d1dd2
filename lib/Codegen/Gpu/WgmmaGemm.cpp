//===- WgmmaGemm.cpp - many tokens on Hopper's tensor cores ---------------===//
//
// The persistent GEMM: wgmma m64nRk16 with tokens as m and rows of W as n.
//
//   x     [T, K] and W [N, K] as tensor maps, K % 8 == 0   y [T, N]
//   tile  128 tokens x `rows` rows of W (with SwiGLU half gate, half up); two warpgroups have 64
//         tokens each of every tile, or all of every other tile: one finishes while one multiplies
//   shared memory: the ring; 16 tokens x 64 outputs (or fewer) per warp, through which results
//   become rows of 16-byte stores (and residuals fragments)
//   bytes: W once per token tile, x once per row tile, from the L2; FLOPs 2 * T * N * K
//   a cache write: results are rounded, and what qk_norm_rope_write does with them is done from
//   shared memory (WgmmaGemmHeads.cpp)
//   numerics: f32 accumulators over all of K in order; invariant: over each of `fixedParts`, then
//   those in order, and sums of squares as WgmmaSkinny's: chunks of 8, then a tree over 64
//
//===----------------------------------------------------------------------===//
#include "WgmmaGemm.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

/// Partial sums that a thread keeps while it multiplies.
constexpr int64_t kSumsKept = 32;

WgmmaGemmTemplate::WgmmaGemmTemplate(LinearSpec s, const LinearTuning &tuning)
    : WgmmaRing(std::move(s), Tokens) {
  auto pick = [](int64_t asked, int64_t own) { return asked ? asked : own; };
  announce = static_cast<TilePlan::Announce>(pick(tuning.announce, 1) - 1);
  groups = 2;
  yieldsRegisters = true;
  tokens = 128;
  // The least time of a processor, in rows. Measured on an H200: what comes before and after the
  // products of a tile is like 64 rows of 1024 columns, once where warpgroups take tiles in turn;
  // smaller tiles are slower and take more power, of which there is too little for long K.
  const int64_t around = std::clamp<int64_t>((64 << 10) / spec.k, 8, 64);
  const auto roundsOf = [&](int64_t candidate) {
    return ceilDiv(ceilDiv(spec.n, candidate) * tokenTiles(), kProcessors);
  };
  const auto timeOf = [](int64_t candidate) {
    return candidate == 256 ? candidate : candidate * 35 / 32;
  };
  parts = fixedParts(spec);
  int64_t own = 0, least = 0;
  for (int64_t candidate : {256, 128, 64}) {
    if (candidate == 256 && parts > 1) // twice the accumulators
      continue;
    if (spec.write && !holdsHeads(*spec.write, candidate))
      continue;
    const int64_t cost = roundsOf(candidate) * (timeOf(candidate) + around);
    if (!own || cost < least)
      own = candidate, least = cost;
  }
  const int64_t inTurn = roundsOf(128) * timeOf(128) + around;
  alternate = tuning.turns ? tuning.turns == 2 : roundsOf(128) > 1 && inTurn < least;
  alternate = alternate && parts == 1 && tuning.rows <= 128; // a warpgroup holds all of a tile
  rows = pick(tuning.rows, alternate ? 128 : own);
  tile = {tokens, rows, 1, 0};
  const int64_t wanted = pick(tuning.stages, rows == 256   ? 4
                                             : rows == 192 ? 5
                                             : rows == 128 ? 6
                                                           : 8);
  arrange(wanted, pick(tuning.tokenStages, wanted), kSharedLimit,
          pick(tuning.maxTiles, kProcessors), 8 * 16 * stagingRow(), false);
  alternate = alternate && !single();
}

//===----------------------------------------------------------------------===//
// Before the products
//===----------------------------------------------------------------------===//

/// The warp's 16 tokens of a block.
void WgmmaGemmTemplate::enterBlock(GpuBuilder &b, const Place &place, int64_t block) {
  Value own = alternate ? b.rem(warp, 4) : warp;
  warpToken = b.add(b.add(place.firstToken, b.mul(own, 16)), 64 * block);
}

Value WgmmaGemmTemplate::sumsToken(GpuBuilder &b) const {
  return b.min(b.add(warpToken, b.rem(b.lane(), 16)), b.i32(spec.maxTokens - 1));
}

Value WgmmaGemmTemplate::firstSum(GpuBuilder &b) const {
  return halvesSums() ? b.mul(b.div(b.lane(), 16), sumsPerLane()) : b.i32(0);
}

/// Asks for what the end needs, as far as there are registers for it.
void WgmmaGemmTemplate::begin(GpuBuilder &b, const Place &place) {
  Value lane = b.lane();
  g = b.div(lane, 4);
  t = b.rem(lane, 4);
  staging = b.at(b.shared(scratchOffset), warp, 16 * stagingRow());
  ownSums.clear();
  for (int64_t block = 0; block < majorBlocks() && spec.norm; ++block) {
    enterBlock(b, place, block);
    Value token = sumsToken(b), first = firstSum(b);
    if (!spec.invariant && sumsPerLane() * majorBlocks() <= kSumsKept)
      ownSums.push_back(partialSums(b, token, first, sumsPerLane()));
    else
      ownSums.push_back({sumOfSquares(b, token, first, sumsPerLane())});
  }
  if (spec.write)
    beginHeads(b, place);
  enterBlock(b, place, 0);
  if (spec.residual && staged() && spec.epilogue != LinearSpec::Argmax)
    firstResiduals = loadPiece(b, place, 0);
}

void WgmmaGemmTemplate::findScales(GpuBuilder &b, int64_t block) {
  const Values &own = ownSums[static_cast<size_t>(block)];
  Value sum = sumOf(b, own, own.size() == 1 ? 1 : sumsWidth(sumsPerLane()));
  if (halvesSums())
    sum = b.addf(sum, b.shuffleXor(sum, 16));
  Value rstd = rstdOf(b, sum);
  for (int64_t i = 0; i < 2; ++i)
    scale[i] = b.shuffle(rstd, b.add(g, 8 * i));
}

//===----------------------------------------------------------------------===//
// From accumulators to values
//===----------------------------------------------------------------------===//

/// First of the two outputs that registers 4 j .. 4 j + 3 belong to.
Value WgmmaGemmTemplate::columnOf(GpuBuilder &b, const Place &place, int64_t j) const {
  return b.add(b.add(b.mul(place.rowTile, outputs()), b.mul(t, 2)), 8 * j);
}

/// [token][column]: 2 x 2 results before the residual.
Values WgmmaGemmTemplate::values(GpuBuilder &b, const Place &place, const Values &d,
                                 int64_t j) const {
  Value column = columnOf(b, place, j);
  const int64_t all = spec.outputs();
  auto some = [&](int64_t block, int64_t firstRow) {
    Values v;
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t c = 0; c < 2; ++c)
        v.push_back(spec.norm ? b.mulf(d[4 * block + 2 * i + c], scale[i])
                              : d[4 * block + 2 * i + c]);
    if (spec.bias)
      for (int64_t c = 0; c < 2; ++c) {
        Value row = b.add(b.min(b.add(column, c), b.i32(all - 1)), firstRow);
        Value bias = b.loadF32(b.at(operands().bias, row, 4), Access::Constant);
        for (int64_t i = 0; i < 2; ++i)
          v[2 * i + c] = b.addf(v[2 * i + c], bias);
      }
    return v;
  };
  Values v = some(j, 0);
  if (spec.epilogue == LinearSpec::Swiglu) {
    Values up = some(j + outputs() / 8, all);
    for (auto [i, each] : llvm::enumerate(v))
      each = b.mulf(b.silu(each), up[i]);
  }
  return v;
}

/// Sums of squares of what is written, or the best output.
void WgmmaGemmTemplate::gather(GpuBuilder &b, const Place &place, int64_t j, const Values &v) {
  Value column = columnOf(b, place, j);
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t c = 0; c < 2; ++c) {
      Value own = b.add(column, c), valid = b.less(own, spec.outputs());
      if (spec.sumsOut && !spec.invariant) {
        Value written = b.rounded(v[2 * i + c], spec.y);
        if (!wholeTiles())
          written = b.select(valid, written, b.f32(0));
        squares[i] = b.fma(written, written, squares[i]);
      }
      if (spec.epilogue == LinearSpec::Argmax) {
        const Candidate none = noCandidate(b);
        best[i] =
            better(b, best[i],
                   {b.select(valid, v[2 * i + c], none.value), b.select(valid, own, none.index)});
      }
    }
}

/// The four lanes of a token agree; the first speaks.
void WgmmaGemmTemplate::leaveGathered(GpuBuilder &b, const Place &place) {
  const LinearOperands o = operands();
  for (int64_t i = 0; i < 2; ++i) {
    Value token = tokenOf(b, i);
    Value speaks = b.both(b.equal(t, b.i32(0)), b.less(token, tokensInStep));
    auto slot = [&](Value base) {
      return b.at(b.at(base, token, 4 * rowTiles(tile)), place.rowTile, 4);
    };
    if (spec.sumsOut && !spec.invariant) {
      Value sum = squares[i];
      for (int64_t mask : {1, 2})
        sum = b.addf(sum, b.shuffleXor(sum, mask));
      b.when(speaks, [&] { b.storeF32(slot(o.sumsOut), sum); });
    }
    if (spec.epilogue == LinearSpec::Argmax) {
      Candidate all = best[i];
      for (int64_t mask : {1, 2})
        all = better(b, all, {b.shuffleXor(all.value, mask), b.shuffleXor(all.index, mask)});
      b.when(speaks, [&] {
        b.storeF32(slot(o.y), all.value);
        b.storeI32(slot(o.index), all.index);
      });
    }
  }
}

//===----------------------------------------------------------------------===//
// Through shared memory
//===----------------------------------------------------------------------===//

/// This lane's 16-byte chunks of the warp's 16 tokens x one piece of outputs; neighbouring lanes
/// have neighbouring chunks of a token.
void WgmmaGemmTemplate::eachChunk(GpuBuilder &b, const Place &place, int64_t piece,
                                  function_ref<void(int64_t, Value, Value, Value)> body) const {
  const int64_t perToken = pieceColumns() / 8;
  for (int64_t i = 0; i < 16 * perToken / kWarp; ++i) {
    Value id = b.add(b.lane(), kWarp * i);
    Value token = b.div(id, perToken), chunk = b.rem(id, perToken);
    Value column =
        b.add(b.add(b.mul(place.rowTile, outputs()), b.mul(chunk, 8)), piece * pieceColumns());
    body(i, b.at(b.at(staging, token, stagingRow()), chunk, 16), b.add(warpToken, token), column);
  }
}

/// The first of `count` columns, moved to where they exist.
Value WgmmaGemmTemplate::inside(GpuBuilder &b, Value column, int64_t count) const {
  return wholeTiles() ? column : b.min(column, b.i32(spec.outputs() - count));
}

SmallVector<Chunk, 8> WgmmaGemmTemplate::loadPiece(GpuBuilder &b, const Place &place,
                                                   int64_t piece) const {
  SmallVector<Chunk, 8> chunks;
  eachChunk(b, place, piece, [&](int64_t, Value, Value token, Value column) {
    Value row = b.min(token, b.i32(spec.maxTokens - 1));
    Value p = b.at(b.at(operands().residual, row, 2 * spec.outputs()), inside(b, column, 8), 2);
    chunks.push_back(b.loadChunk(p, spec.y, 8, Access::Activation));
  });
  return chunks;
}

/// Two by two results of each block of eight columns, two to a word.
Values WgmmaGemmTemplate::packed(GpuBuilder &b, ArrayRef<Values> v) const {
  Values words;
  for (const Values &block : v)
    for (size_t i = 0; i < 2; ++i)
      words.push_back(b.pack(spec.y, block[2 * i], block[2 * i + 1]));
  return words;
}

void WgmmaGemmTemplate::stagePiece(GpuBuilder &b, const Values &words) const {
  // Where matrix lane / 8 of two column blocks has its row lane % 8.
  Value lane = b.lane();
  Value row = b.rem(lane, 16), block = b.div(lane, 16);
  Value p = b.at(b.at(staging, row, stagingRow()), block, 16);
  for (size_t i = 0; i < words.size(); i += 4)
    b.storeMatrices(b.at(p, 8 * static_cast<int64_t>(i)), ArrayRef<Value>(words).slice(i, 4));
  b.syncWarp();
}

void WgmmaGemmTemplate::storePiece(GpuBuilder &b, const Place &place, int64_t piece, Value to,
                                   ArrayRef<Values> v, bool counted) const {
  stagePiece(b, packed(b, v));
  eachChunk(b, place, piece, [&](int64_t, Value inStaging, Value token, Value column) {
    Chunk chunk = b.loadChunk(inStaging, spec.y, 8, Access::Activation);
    Value valid = b.less(token, tokensInStep);
    if (!wholeTiles())
      valid = b.both(valid, b.less(column, spec.outputs()));
    b.when(valid, [&] { b.storeRaw(b.at(b.at(to, token, 2 * spec.outputs()), column, 2), chunk); });
    if (counted)
      leaveSquares(b, b.unpack(chunk), token, column);
  });
  b.syncWarp();
}

/// The sum of squares of the kSumColumns results that 8 neighbouring lanes have.
void WgmmaGemmTemplate::leaveSquares(GpuBuilder &b, const Values &v, Value token,
                                     Value column) const {
  Value valid = b.less(column, spec.outputs()), sum = b.f32(0);
  for (Value each : v) {
    Value written = b.select(valid, each, b.f32(0));
    sum = b.fma(written, written, sum);
  }
  for (int64_t mask = 1; mask < kSumColumns / 8; mask *= 2)
    sum = b.addf(sum, b.shuffleXor(sum, mask));
  Value isFirst = b.equal(b.rem(b.lane(), kSumColumns / 8), b.i32(0));
  b.when(b.both(isFirst, b.both(valid, b.less(token, tokensInStep))), [&] {
    Value row = b.at(operands().sumsOut, token, 4 * partials());
    b.storeF32(b.at(row, b.div(column, kSumColumns), 4), sum);
  });
}

void WgmmaGemmTemplate::endStaged(GpuBuilder &b, const Place &place, const Values &d) {
  const int64_t blocks = pieceColumns() / 8, pieces = outputs() / pieceColumns();
  const LinearOperands o = operands();
  SmallVector<Chunk, 8> residual;
  if (spec.residual)
    residual = firstResiduals.empty() ? loadPiece(b, place, 0) : std::move(firstResiduals);
  firstResiduals.clear();
  for (int64_t piece = 0; piece < pieces; ++piece) {
    SmallVector<Values, 8> v;
    for (int64_t j = 0; j < blocks; ++j)
      v.push_back(values(b, place, d, piece * blocks + j));
    if (spec.residual) {
      eachChunk(b, place, piece, [&](int64_t i, Value inStaging, Value, Value) {
        b.storeRaw(inStaging, residual[i]);
      });
      if (piece + 1 < pieces)
        residual = loadPiece(b, place, piece + 1);
      b.syncWarp();
      Value p = b.at(b.at(staging, b.rem(b.lane(), 16), stagingRow()), b.div(b.lane(), 16), 16);
      for (int64_t j = 0; j < blocks; j += 2) {
        Values words = b.loadMatrices(b.at(p, 16 * j));
        for (int64_t each = 0; each < 4; ++each) {
          auto [low, high] = b.halves(spec.y, words[each]);
          Values &block = v[j + each / 2];
          block[2 * (each % 2)] = b.addf(block[2 * (each % 2)], low);
          block[2 * (each % 2) + 1] = b.addf(block[2 * (each % 2) + 1], high);
        }
      }
      b.syncWarp();
    }
    for (int64_t j = 0; j < blocks; ++j)
      gather(b, place, piece * blocks + j, v[j]);
    storePiece(b, place, piece, o.y, v, spec.invariant && spec.sumsOut);
    if (!spec.xgOut)
      continue;
    for (int64_t j = 0; j < blocks; ++j)
      for (int64_t c = 0; c < 2; ++c) {
        Value column = b.add(columnOf(b, place, piece * blocks + j), c);
        Value gamma = b.loadF32(b.at(o.gammaNext, inside(b, column, 1), 4), Access::Constant);
        for (int64_t i = 0; i < 2; ++i)
          v[j][2 * i + c] = b.mulf(b.rounded(v[j][2 * i + c], spec.y), gamma);
      }
    storePiece(b, place, piece, o.xgOut, v, false);
  }
}

/// Element by element: f32 results, rows that 16-byte stores do not fit, argmax.
void WgmmaGemmTemplate::endPlain(GpuBuilder &b, const Place &place, const Values &d) {
  const LinearOperands o = operands();
  const int64_t all = spec.outputs(), bytes = bytesOf(spec.y);
  for (int64_t j = 0; j < outputs() / 8; ++j) {
    Values v = values(b, place, d, j);
    Value column = columnOf(b, place, j);
    auto at = [&](Value base, int64_t i, int64_t c, bool inside) {
      Value token = tokenOf(b, i), own = b.add(column, c);
      if (inside) {
        token = b.min(token, b.i32(spec.maxTokens - 1));
        own = b.min(own, b.i32(all - 1));
      }
      return b.at(b.at(base, token, all * bytes), own, bytes);
    };
    for (int64_t e = 0; e < 4 && spec.residual; ++e)
      v[e] = b.addf(v[e], b.load(at(o.residual, e / 2, e % 2, true), spec.y, Access::Activation));
    gather(b, place, j, v);
    if (spec.epilogue == LinearSpec::Argmax)
      continue;
    for (int64_t e = 0; e < 4; ++e) {
      Value own = b.add(column, e % 2);
      Value valid = b.both(b.less(tokenOf(b, e / 2), tokensInStep), b.less(own, all));
      b.when(valid, [&] {
        b.store(at(o.y, e / 2, e % 2, false), spec.y, v[e]);
        if (!spec.xgOut)
          return;
        Value gamma = b.loadF32(b.at(o.gammaNext, own, 4), Access::Constant);
        b.store(at(o.xgOut, e / 2, e % 2, false), spec.y, b.mulf(b.rounded(v[e], spec.y), gamma));
      });
    }
  }
}

void WgmmaGemmTemplate::end(GpuBuilder &b, const Place &place, Values &d) {
  if (spec.write)
    return endHeads(b, place, d);
  const size_t each = d.size() / static_cast<size_t>(majorBlocks());
  for (int64_t block = 0; block < majorBlocks(); ++block) {
    const Values own(ArrayRef<Value>(d).slice(static_cast<size_t>(block) * each, each));
    enterBlock(b, place, block);
    if (spec.norm)
      findScales(b, block);
    squares.assign(2, b.f32(0));
    best.assign(2, noCandidate(b));
    if (staged() && spec.epilogue != LinearSpec::Argmax)
      endStaged(b, place, own);
    else
      endPlain(b, place, own);
    leaveGathered(b, place);
  }
}
