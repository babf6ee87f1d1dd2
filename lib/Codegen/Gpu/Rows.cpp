//===- Rows.cpp - kernels that treat each token by itself -----------------===//
//
// A CTA per token; its threads take chunks of 16 bytes of the row, `threads` chunks apart.
//
//   numerics: f32 between loads and the one rounding of each result; sums of squares per thread in
//   order, then lanes, then warps by a fixed tree
//   bytes: each operand row once, each result row once
//
//===----------------------------------------------------------------------===//
#include "LinearParts.h"
#include "Wrapper.h"

#include "sinter/Abi/sinter_abi.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

namespace {

class RowTemplate : public Template {
public:
  explicit RowTemplate(const RowSpec &spec)
      : spec(spec), width((spec.k | spec.stride | spec.offset) % 8 ? 1 : 8), chunks(spec.k / width),
        threads(isArgmax() ? std::min<int64_t>(1024, roundUp(spec.k, kWarp))
                           : std::min<int64_t>(256, std::max(kWarp, roundUp(chunks, kWarp)))) {}

  TilePlan plan() const override {
    TilePlan p;
    p.tiles = spec.maxTokens * spec.perToken;
    p.threads = threads;
    p.sharedBytes = 2 * 4 * (threads / kWarp);
    return p;
  }
  unsigned parameters() const override;
  void prefetch(GpuBuilder &b, Value, Ring &) override {
    const size_t field =
        spec.rows ? offsetof(SinterBatch, num_rows) : offsetof(SinterBatch, num_tokens);
    tokens = b.loadI32(b.at(batch(), static_cast<int64_t>(field)), Access::Constant);
  }
  void compute(GpuBuilder &b, Value tile, Ring &) override {
    b.when(b.less(tile, b.mul(tokens, spec.perToken)), [&] { row(b, tile); });
  }

private:
  RowSpec spec;
  int64_t width, chunks, threads;
  Value tokens;

  void row(GpuBuilder &b, Value token);
  Value address(GpuBuilder &b, unsigned i, Value token, DType type, int64_t columns);
  Values loadSlot(GpuBuilder &b, Value base, DType type, int64_t slot,
                  Access access = Access::Activation);
  Value chunkOf(GpuBuilder &b, int64_t slot);
  Value inside(GpuBuilder &b, int64_t slot);
  void storeSlot(GpuBuilder &b, Value base, int64_t slot, const Values &v);
  bool isArgmax() const {
    return spec.kind == RowSpec::Argmax || spec.kind == RowSpec::ArgmaxMerge;
  }
  int64_t slots() const { return ceilDiv(chunks, threads); }
  unsigned feedback() const { return parameters() - 2; }
  Value given(GpuBuilder &b, Value id);
  void copyRow(GpuBuilder &b, Value source, Value target);
  void embedForNorm(GpuBuilder &b, Value source, Value token);
  void elementwise(GpuBuilder &b, Value token);
  void norm(GpuBuilder &b, Value token);
  Value sumCta(GpuBuilder &b, Value v);
  void argmax(GpuBuilder &b, Value token);
};

unsigned RowTemplate::parameters() const {
  switch (spec.kind) {
  case RowSpec::Embedding:
    return (spec.sumsOut ? 6 : 3) + spec.feedback;
  case RowSpec::SelectRows:
  case RowSpec::Swiglu:
  case RowSpec::Columns:
    return 3;
  case RowSpec::RmsNorm:
  case RowSpec::Add:
  case RowSpec::SwigluTwo:
    return 4;
  case RowSpec::Argmax:
    return 4 + spec.feedback;
  case RowSpec::ArgmaxMerge:
    return 5 + spec.feedback;
  case RowSpec::AddRmsNorm:
    return 6;
  }
  return 0;
}

//===----------------------------------------------------------------------===//
// Chunks
//===----------------------------------------------------------------------===//

Value RowTemplate::address(GpuBuilder &b, unsigned i, Value token, DType type, int64_t columns) {
  return b.at(operand(i), token, columns * bytesOf(type));
}

/// Chunk number of this thread's slot, kept inside the row.
Value RowTemplate::chunkOf(GpuBuilder &b, int64_t slot) {
  Value chunk = b.add(b.thread(), slot * threads);
  return (slot + 1) * threads > chunks ? b.min(chunk, b.i32(chunks - 1)) : chunk;
}

Value RowTemplate::inside(GpuBuilder &b, int64_t slot) {
  return b.less(b.add(b.thread(), slot * threads), chunks);
}

Values RowTemplate::loadSlot(GpuBuilder &b, Value base, DType type, int64_t slot, Access access) {
  Value p = b.at(base, chunkOf(b, slot), width * bytesOf(type));
  return b.unpack(b.loadChunk(p, type, width, access));
}

void RowTemplate::storeSlot(GpuBuilder &b, Value base, int64_t slot, const Values &v) {
  b.when(inside(b, slot), [&] {
    Value p = b.at(base, chunkOf(b, slot), width * bytesOf(spec.y));
    if (width == 1)
      b.store(p, spec.y, v.front());
    else
      b.storeChunk(p, spec.y, v);
  });
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

void RowTemplate::row(GpuBuilder &b, Value token) {
  switch (spec.kind) {
  case RowSpec::Embedding:
  case RowSpec::SelectRows: {
    const bool embedding = spec.kind == RowSpec::Embedding;
    Value list = b.batchPointer(batch(), embedding ? offsetof(SinterBatch, tokens)
                                                   : offsetof(SinterBatch, rows));
    Value source = b.loadI32(b.at(list, token, 4), Access::Activation);
    if (embedding && spec.feedback)
      source = given(b, source);
    // The table is constant, but which row is only known now.
    if (spec.sumsOut)
      return embedForNorm(b, address(b, 0, source, spec.x, spec.k), token);
    return copyRow(b, address(b, 0, source, spec.x, spec.k), address(b, 1, token, spec.y, spec.k));
  }
  case RowSpec::Columns:
    return copyRow(b,
                   b.at(address(b, 0, token, spec.x, spec.stride), spec.offset * bytesOf(spec.x)),
                   address(b, 1, token, spec.y, spec.k));
  case RowSpec::Add:
  case RowSpec::Swiglu:
  case RowSpec::SwigluTwo:
    return elementwise(b, token);
  case RowSpec::RmsNorm:
  case RowSpec::AddRmsNorm:
    return norm(b, token);
  case RowSpec::ArgmaxMerge:
  case RowSpec::Argmax:
    return argmax(b, token);
  }
}

/// A token's id, which may be a result of the step before.
Value RowTemplate::given(GpuBuilder &b, Value id) {
  Value row = b.sub(b.i32(-1), id), isBack = b.less(id, b.i32(0));
  Value back =
      b.loadI32(b.at(operand(feedback()), b.select(isBack, row, b.i32(0)), 4), Access::Activation);
  return b.select(isBack, back, id);
}

void RowTemplate::copyRow(GpuBuilder &b, Value source, Value target) {
  for (int64_t s = 0; s < slots(); ++s)
    storeSlot(b, target, s, loadSlot(b, source, spec.x, s));
}

void RowTemplate::embedForNorm(GpuBuilder &b, Value source, Value token) {
  Value squares = b.f32(0), y = address(b, 2, token, spec.y, spec.k);
  Value xg = address(b, 4, token, spec.y, spec.k);
  for (int64_t s = 0; s < slots(); ++s) {
    Values v = loadSlot(b, source, spec.x, s);
    Values gamma = loadSlot(b, operand(1), DType::F32, s, Access::Constant);
    storeSlot(b, y, s, v);
    Values multiplied;
    for (size_t i = 0; i < v.size(); ++i) {
      Value written = b.rounded(v[i], spec.y);
      Value counted = b.select(inside(b, s), written, b.f32(0));
      squares = b.fma(counted, counted, squares);
      multiplied.push_back(b.mulf(written, gamma[i]));
    }
    storeSlot(b, xg, s, multiplied);
  }
  Value sum = sumCta(b, squares), sums = address(b, 3, token, DType::F32, spec.sumsOut);
  b.loop(b.thread(), b.i32(spec.sumsOut), threads, [&](Value i) {
    b.storeF32(b.at(sums, i, 4), b.select(b.equal(i, b.i32(0)), sum, b.f32(0)));
  });
}

/// a + b, or silu(gate) * up with gate and up in one row or in two.
void RowTemplate::elementwise(GpuBuilder &b, Value token) {
  const bool add = spec.kind == RowSpec::Add, one = spec.kind == RowSpec::Swiglu;
  Value first = address(b, 0, token, spec.x, one ? 2 * spec.k : spec.k);
  Value second = one ? b.at(first, spec.k * bytesOf(spec.x)) : address(b, 1, token, spec.x, spec.k);
  Value target = address(b, one ? 1 : 2, token, spec.y, spec.k);
  for (int64_t s = 0; s < slots(); ++s) {
    Values u = loadSlot(b, first, spec.x, s), v = loadSlot(b, second, spec.x, s);
    for (auto [i, value] : llvm::enumerate(u))
      value = add ? b.addf(value, v[i]) : b.mulf(b.silu(value), v[i]);
    storeSlot(b, target, s, u);
  }
}

/// Sum over the CTA: lanes, then warps in order. All threads get it.
Value RowTemplate::sumCta(GpuBuilder &b, Value v) {
  v = b.sumWarp(v);
  if (threads == kWarp)
    return v;
  b.when(b.equal(b.lane(), b.i32(0)), [&] { b.storeF32(b.at(b.shared(0), b.warp(), 4), v); });
  b.barrier();
  Value sum = b.loadF32(b.shared(0));
  for (int64_t w = 1; w < threads / kWarp; ++w)
    sum = b.addf(sum, b.loadF32(b.shared(4 * w)));
  return sum;
}

void RowTemplate::norm(GpuBuilder &b, Value token) {
  const bool add = spec.kind == RowSpec::AddRmsNorm;
  Value squares = b.f32(0);
  SmallVector<Values, 8> row;
  for (int64_t s = 0; s < slots(); ++s) {
    Values v = loadSlot(b, address(b, 0, token, spec.x, spec.k), spec.x, s);
    if (add) {
      Values w = loadSlot(b, address(b, 1, token, spec.x, spec.k), spec.x, s);
      for (auto [i, value] : llvm::enumerate(v))
        value = b.rounded(b.addf(value, w[i]), spec.y);
      storeSlot(b, address(b, 3, token, spec.y, spec.k), s, v);
    }
    const bool whole = (s + 1) * threads <= chunks;
    for (Value value : v) {
      Value counted = whole ? value : b.select(inside(b, s), value, b.f32(0));
      squares = b.fma(counted, counted, squares);
    }
    row.push_back(v);
  }
  Value scale =
      b.rsqrt(b.fma(sumCta(b, squares), b.f32(1.0 / static_cast<double>(spec.k)), b.f32(spec.eps)));
  Value gamma = operand(add ? 2 : 1);
  for (int64_t s = 0; s < slots(); ++s) {
    Values g = loadSlot(b, gamma, DType::F32, s, Access::Constant);
    for (auto [i, value] : llvm::enumerate(row[s]))
      value = b.mulf(b.mulf(value, scale), g[i]);
    storeSlot(b, address(b, add ? 4 : 2, token, spec.y, spec.k), s, row[s]);
  }
}

/// The best of a row of numbers, or of a row of candidates.
void RowTemplate::argmax(GpuBuilder &b, Value token) {
  const bool merge = spec.kind == RowSpec::ArgmaxMerge;
  const DType type = merge ? DType::F32 : spec.x;
  Value values = address(b, 0, token, type, spec.k);
  Value indices = merge ? address(b, 1, token, DType::I32, spec.k) : Value();
  // One CTA waits for memory again and again: several loads at once.
  constexpr int64_t kAtOnce = 4;
  Candidate best = noCandidate(b);
  Values found =
      b.loop(b.thread(), b.i32(spec.k), kAtOnce * threads, {best.value, best.index},
             [&](Value first, ValueRange now) {
               SmallVector<Candidate, kAtOnce> loaded;
               for (int64_t u = 0; u < kAtOnce; ++u) {
                 Value i = b.min(b.add(first, u * threads), b.i32(spec.k - 1));
                 loaded.push_back({b.load(b.at(values, i, bytesOf(type)), type, Access::Activation),
                                   merge ? b.loadI32(b.at(indices, i, 4), Access::Activation) : i});
               }
               // The last element, seen again by who has none left, changes nothing.
               Candidate c{now[0], now[1]};
               for (const Candidate &other : loaded)
                 c = better(b, c, other);
               return Values{c.value, c.index};
             });
  best = bestOfWarp(b, {found[0], found[1]});
  const int64_t warps = threads / kWarp;
  b.when(b.equal(b.lane(), b.i32(0)), [&] {
    b.storeF32(b.at(b.shared(0), b.warp(), 4), best.value);
    b.storeI32(b.at(b.shared(4 * warps), b.warp(), 4), best.index);
  });
  b.barrier();
  b.when(b.equal(b.thread(), b.i32(0)), [&] {
    Candidate all = noCandidate(b);
    for (int64_t w = 0; w < warps; ++w)
      all = better(
          b, all,
          {b.loadF32(b.shared(4 * w)), b.loadI32(b.shared(4 * (warps + w)), Access::Activation)});
    b.storeF32(b.at(operand(merge ? 2 : 1), token, 4), all.value);
    b.storeI32(b.at(operand(merge ? 3 : 2), token, 4), all.index);
    if (spec.feedback)
      b.storeI32(b.at(operand(feedback()), token, 4), all.index);
  });
}

} // namespace

FailureOr<GpuKernel> sinter::gpu::emitRows(Operation *gpuModule, StringRef name,
                                           const GpuChip &chip, const RowSpec &spec) {
  if (spec.sumsOut && (spec.kind != RowSpec::Embedding || spec.y == DType::F16))
    return gpuModule->emitError() << name << ": only embeddings leave sums, and not in f16";
  RowTemplate op(spec);
  return emitKernel(gpuModule, name, chip, op, 0);
}
