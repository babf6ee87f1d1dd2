//===- LinearParts.cpp - from accumulators to results ---------------------===//
//
// Per output: the parts in order, row scale, bias, then residual, swiglu or argmax, one rounding.
//
//===----------------------------------------------------------------------===//
#include "LinearParts.h"

#include "sinter/Abi/sinter_abi.h"

#include <limits>

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

unsigned LinearTemplate::parameters() const {
  return 3 + (spec.norm && !spec.xg) + spec.bias + spec.residual + (spec.sumsIn != 0) +
         (spec.epilogue == LinearSpec::Argmax) + spec.sumsOut + 2 * spec.xgOut +
         (spec.write ? 3 + 2 * spec.write->norm + spec.write->kScale : 0) + 1;
}

LinearOperands LinearTemplate::operands() const {
  LinearOperands o;
  unsigned next = 0;
  auto take = [&](bool present) { return present ? operand(next++) : Value(); };
  o.x = take(true);
  o.w = take(true);
  o.gamma = take(spec.norm && !spec.xg);
  o.bias = take(spec.bias);
  o.residual = take(spec.residual);
  o.sumsIn = take(spec.sumsIn != 0);
  o.gammaNext = take(spec.xgOut);
  o.y = take(true);
  o.index = take(spec.epilogue == LinearSpec::Argmax);
  o.sumsOut = take(spec.sumsOut);
  o.xgOut = take(spec.xgOut);
  for (Value *stream : {&o.k, &o.v, &o.table})
    *stream = take(spec.write.has_value());
  for (Value *gamma : {&o.qGamma, &o.kGamma})
    *gamma = take(spec.write && spec.write->norm);
  o.kScale = take(spec.write && spec.write->kScale);
  return o;
}

Value LinearTemplate::tokenCount(GpuBuilder &b) const {
  if (spec.maxTokens == 1 && !spec.rows)
    return b.i32(1);
  // The batch is written before the step's first kernel starts: reading it needs no wait.
  const size_t field =
      spec.rows ? offsetof(SinterBatch, num_rows) : offsetof(SinterBatch, num_tokens);
  return b.loadI32(b.at(batch(), static_cast<int64_t>(field)), Access::Constant);
}

//===----------------------------------------------------------------------===//
// Rows of W
//===----------------------------------------------------------------------===//

int64_t LinearTemplate::rowTiles(const LinearTile &tile) const {
  return ceilDiv(spec.outputs(), tile.outputs(spec));
}

Value LinearTemplate::weightRow(GpuBuilder &b, const LinearTile &tile, Value rowTile,
                                Value row) const {
  const int64_t outputs = tile.outputs(spec);
  Value last = b.i32(spec.outputs() - 1);
  Value first = b.mul(rowTile, outputs);
  if (spec.epilogue != LinearSpec::Swiglu)
    return b.min(b.add(first, row), last);
  Value isGate = b.less(row, outputs);
  Value output = b.add(first, b.select(isGate, row, b.add(row, -outputs)));
  Value gate = b.min(output, last);
  return b.select(isGate, gate, b.add(gate, spec.n / 2));
}

//===----------------------------------------------------------------------===//
// Candidates of an argmax
//===----------------------------------------------------------------------===//

Candidate sinter::gpu::noCandidate(GpuBuilder &b) {
  return {b.f32(-std::numeric_limits<double>::infinity()),
          b.i32(std::numeric_limits<int32_t>::max())};
}

Candidate sinter::gpu::better(GpuBuilder &b, Candidate a, Candidate c) {
  Value aNaN = b.isNaN(a.value), cNaN = b.isNaN(c.value);
  Value same = b.either(b.both(aNaN, cNaN), b.equalF(a.value, c.value));
  // A NaN is less than nothing, so only c's needs a word: it beats a number.
  Value larger = b.either(b.lessF(a.value, c.value), b.both(cNaN, b.isNumber(a.value)));
  Value takeC = b.either(larger, b.both(same, b.less(c.index, a.index)));
  return {b.select(takeC, c.value, a.value), b.select(takeC, c.index, a.index)};
}

Candidate sinter::gpu::bestOfWarp(GpuBuilder &b, Candidate c) {
  for (int64_t mask = 16; mask; mask /= 2)
    c = better(b, c, {b.shuffleXor(c.value, mask), b.shuffleXor(c.index, mask)});
  return c;
}

//===----------------------------------------------------------------------===//
// The epilogue
//===----------------------------------------------------------------------===//

Value LinearTemplate::dot(GpuBuilder &b, const LinearTile &tile, Value token, Value row) const {
  Value p = b.at(b.at(b.shared(tile.sumOffset), token, 4 * tile.stride()), row, 4);
  Value sum = b.loadF32(p);
  for (int64_t part = 1; part < tile.parts; ++part)
    sum = b.addf(sum, b.loadF32(b.at(p, 4 * part * tile.tokens * tile.stride())));
  return sum;
}

Value LinearTemplate::rstd(GpuBuilder &b, const LinearTile &tile, Value token,
                           Value globalToken) const {
  if (tile.rstdOffset >= 0)
    return b.loadF32(b.at(b.shared(tile.rstdOffset), token, 4));
  Value sum;
  if (spec.sumsIn) {
    // Lanes take the partial sums 32 apart, then one tree.
    Value base = b.at(operands().sumsIn, globalToken, 4 * spec.sumsIn);
    sum = b.f32(0);
    for (int64_t first = 0; first < spec.sumsIn; first += kWarp) {
      Value i = b.add(b.lane(), first);
      Value last = b.i32(spec.sumsIn - 1);
      Value v = b.loadF32(b.at(base, b.min(i, last), 4));
      sum = b.addf(sum, b.select(b.less(i, spec.sumsIn), v, b.f32(0)));
    }
    sum = b.sumWarp(sum);
  } else {
    Value p = b.at(b.shared(tile.squareOffset), token, 4);
    sum = b.loadF32(p);
    for (int64_t part = 1; part < tile.squareParts; ++part)
      sum = b.addf(sum, b.loadF32(b.at(p, 4 * part * tile.tokens)));
  }
  return b.rsqrt(b.fma(sum, b.f32(1.0 / static_cast<double>(spec.k)), b.f32(spec.eps)));
}

/// All outputs of one token: this lane's, 32 rows apart. Only loads, so that those of several
/// tokens overlap.
Values LinearTemplate::results(GpuBuilder &b, const LinearTile &tile, Value rowTile,
                               const Place &place) const {
  const LinearOperands o = operands();
  const int64_t outputs = tile.outputs(spec), all = spec.outputs(), bytes = bytesOf(spec.y);
  Value scale = spec.norm ? rstd(b, tile, place.token, place.globalToken) : Value();
  auto finish = [&](Value row, Value column) {
    Value v = dot(b, tile, place.token, row);
    if (scale)
      v = b.mulf(v, scale);
    if (spec.bias)
      v = b.addf(v, b.loadF32(b.at(o.bias, column, 4), Access::Constant));
    return v;
  };
  Values values;
  for (int64_t first = 0; first < outputs; first += kWarp) {
    Value row = b.min(b.add(b.lane(), first), b.i32(outputs - 1));
    Value output = b.min(b.add(b.mul(rowTile, outputs), row), b.i32(all - 1));
    Value v = finish(row, output);
    if (spec.epilogue == LinearSpec::Swiglu)
      v = b.mulf(b.silu(v), finish(b.add(row, outputs), b.add(output, all)));
    if (spec.residual)
      v = b.addf(v, b.load(b.at(b.at(o.residual, place.globalToken, all * bytes), output, bytes),
                           spec.y, Access::Activation));
    values.push_back(v);
  }
  return values;
}

/// Stores what `results` computed; for a token outside the step, nothing.
void LinearTemplate::store(GpuBuilder &b, const LinearTile &tile, Value rowTile, const Place &place,
                           const Values &values) const {
  const LinearOperands o = operands();
  const int64_t outputs = tile.outputs(spec), all = spec.outputs(), bytes = bytesOf(spec.y);
  Candidate best = noCandidate(b);
  Value squares = b.f32(0);
  for (size_t i = 0; i < values.size(); ++i) {
    Value v = values[i];
    Value row = b.add(b.lane(), kWarp * static_cast<int64_t>(i));
    Value output = b.add(b.mul(rowTile, outputs), row);
    Value valid = b.both(b.less(row, outputs), b.less(output, all));
    if (spec.epilogue == LinearSpec::Argmax) {
      Candidate none = noCandidate(b);
      best = better(b, best, {b.select(valid, v, none.value), b.select(valid, output, none.index)});
      continue;
    }
    Value inStep = b.both(valid, place.inStep);
    b.when(inStep, [&] {
      b.store(b.at(b.at(o.y, place.globalToken, all * bytes), output, bytes), spec.y, v);
    });
    if (spec.xgOut)
      b.when(inStep, [&] {
        Value gamma = b.loadF32(b.at(o.gammaNext, output, 4), Access::Constant);
        b.store(b.at(b.at(o.xgOut, place.globalToken, all * bytes), output, bytes), spec.y,
                b.mulf(b.rounded(v, spec.y), gamma));
      });
    if (spec.sumsOut) {
      Value written = b.select(valid, b.rounded(v, spec.y), b.f32(0));
      squares = b.fma(written, written, squares);
    }
  }
  const int64_t partials = rowTiles(tile);
  Value speaks = b.both(b.equal(b.lane(), b.i32(0)), place.inStep);
  auto slot = [&](Value base) {
    return b.at(b.at(base, place.globalToken, 4 * partials), rowTile, 4);
  };
  if (spec.epilogue == LinearSpec::Argmax) {
    best = bestOfWarp(b, best);
    b.when(speaks, [&] {
      b.storeF32(slot(o.y), best.value);
      b.storeI32(slot(o.index), best.index);
    });
  }
  if (spec.sumsOut) {
    squares = b.sumWarp(squares);
    b.when(speaks, [&] { b.storeF32(slot(o.sumsOut), squares); });
  }
}

constexpr int64_t kLoadsTogether = 32;

void LinearTemplate::epilogue(GpuBuilder &b, const LinearTile &tile, Value rowTile,
                              Value firstToken, Value tokens) const {
  const int64_t warps = tile.warps ? tile.warps : b.threadCount() / kWarp;
  Value me = b.warp();
  auto someTokens = [&](Value first, int64_t count) {
    llvm::SmallVector<Place, 4> places;
    llvm::SmallVector<Values, 4> values;
    for (int64_t i = 0; i < count; ++i) {
      Value token = b.add(first, i * warps), globalToken = b.add(firstToken, token);
      places.push_back(
          {token, b.min(globalToken, b.i32(spec.maxTokens - 1)), b.less(globalToken, tokens)});
      values.push_back(results(b, tile, rowTile, places.back()));
    }
    for (int64_t i = 0; i < count; ++i)
      store(b, tile, rowTile, places[i], values[i]);
  };
  if (tile.tokens == warps)
    return someTokens(me, 1);
  if (tile.tokens < warps)
    return b.when(b.less(me, tile.tokens), [&] { someTokens(me, 1); });
  const int64_t each = tile.tokens / warps;
  // As many tokens at once as registers hold the loads of.
  const int64_t most =
      tile.warps ? std::max<int64_t>(4, kLoadsTogether / ceilDiv(tile.outputs(spec), kWarp)) : 4;
  int64_t together = 1;
  for (int64_t count = 2; tile.tokens % warps == 0 && count <= std::min(most, each); ++count)
    if (each % count == 0)
      together = count;
  b.loop(me, b.i32(tile.tokens), together * warps,
         [&](Value first) { someTokens(first, together); });
}
