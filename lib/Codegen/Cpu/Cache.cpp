//===- Cache.cpp - rope, kv_write, qk_norm_rope_write ---------------------===//
//
// A head goes through scratch as f32: the halves of RoPE and the groups of the cache need not
// divide into vectors in the same way.
//
//===----------------------------------------------------------------------===//
#include "Pieces.h"
#include "Templates.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

namespace {

/// A head's norm: f32 scalar rstd and the weight; null without norm.
struct HeadNorm {
  Value rstd, gamma;
};

/// scratch = rope(norm(head)) * scale
void ropeToScratch(KernelBuilder &b, Value head, DType type, int64_t dim, Value angles,
                   HeadNorm norm, Value scale) {
  const int64_t half = dim / 2, bytes = bytesOf(type);
  b.chunks(half, 2, {}, [&](Value i, int64_t lanes, int64_t, Values &) {
    Value byte = b.mul(i, bytes), wide = b.mul(i, 4);
    auto part = [&](int64_t first) {
      Value v = b.load(b.at(b.at(head, first * bytes), byte), type, lanes);
      if (!norm.gamma)
        return v;
      Value g = b.load(b.at(b.at(norm.gamma, first * 4), wide), DType::F32, lanes);
      return b.mulf(b.mulf(v, b.splat(norm.rstd)), g);
    };
    Value low = part(0), high = part(half);
    Value cos = b.load(b.at(angles, wide), DType::F32, lanes);
    Value sin = b.load(b.at(b.at(angles, half * 4), wide), DType::F32, lanes);
    Value newLow = b.fma(low, cos, b.negate(b.mulf(high, sin)));
    Value newHigh = b.fma(high, cos, b.mulf(low, sin));
    if (scale) {
      newLow = b.mulf(newLow, b.splat(scale));
      newHigh = b.mulf(newHigh, b.splat(scale));
    }
    b.store(b.at(b.scratch, wide), DType::F32, newLow, lanes);
    b.store(b.at(b.at(b.scratch, half * 4), wide), DType::F32, newHigh, lanes);
  });
}

/// dim elements of `source` to `target`, rounding where the types differ.
void convertHead(KernelBuilder &b, Value source, DType from, Value target, DType to, int64_t dim) {
  b.chunks(dim, 2, {}, [&](Value i, int64_t lanes, int64_t, Values &) {
    Value in = b.at(source, b.mul(i, bytesOf(from))), out = b.at(target, b.mul(i, bytesOf(to)));
    if (from == to && bytesOf(from) == 2)
      return b.copyHalves(in, out, lanes);
    b.store(out, to, b.load(in, from, lanes), lanes);
  });
}

/// dim elements times scale to the K stream of a head: `target` is the token's first element.
void writeKey(KernelBuilder &b, Value source, DType from, Value target, const CacheShape &cache,
              Value scale) {
  const int64_t group = cache.packing();
  const int64_t stride = cache.page * group * bytesOf(cache.type);
  b.chunks(cache.headDim, 1, {}, [&](Value i, int64_t lanes, int64_t, Values &) {
    Value v = b.load(b.at(source, b.mul(i, bytesOf(from))), from, lanes);
    if (scale)
      v = b.mulf(v, b.splat(scale));
    b.scatter(b.at(target, b.mul(b.div(i, group), stride)), cache.type, v, lanes, group, stride);
  });
}

/// Where a token's K and V of one head start.
struct CachePlace {
  Value key, value;
};
CachePlace cachePlace(KernelBuilder &b, const CacheShape &cache, Value keys, Value values,
                      Value slot, Value head) {
  Value page = b.mul(b.div(slot, cache.page), b.pageBytes());
  Value token = b.rem(slot, cache.page);
  Value base = b.add(page, b.mul(head, cache.headBytes()));
  const int64_t bytes = bytesOf(cache.type);
  return {b.at(b.at(keys, base), b.mul(token, cache.packing() * bytes)),
          b.at(b.at(values, base), b.mul(token, cache.headDim * bytes))};
}

Value tokenField(KernelBuilder &b, size_t field, Value token) {
  return b.loadI32(b.at(b.batchPointer(field), b.mul(token, 4)));
}

/// 1 / k_scale: exact, the scale is a power of two.
Value inverseScale(KernelBuilder &b, bool has, unsigned arg) {
  return has ? b.divf(b.f32(1.0f), b.loadF32(b.arg(arg))) : Value();
}

Value anglesOf(KernelBuilder &b, Value table, Value token, int64_t dim) {
  Value position = tokenField(b, offsetof(SinterBatch, positions), token);
  return b.at(table, b.mul(position, dim * 4));
}

} // namespace

int64_t sinter::cpu::emitRope(ModuleOp module, StringRef symbol, CpuIsa isa, const RopeSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  Value x = b.arg(0), table = b.arg(1), y = b.arg(2);
  b.loop(b.begin, b.end, 1, [&](Value task) {
    Value angles = anglesOf(b, table, b.div(task, spec.heads), spec.headDim);
    Value byte = b.mul(task, spec.headDim * bytesOf(spec.type));
    ropeToScratch(b, b.at(x, byte), spec.type, spec.headDim, angles, {}, {});
    convertHead(b, b.scratch, DType::F32, b.at(y, byte), spec.type, spec.headDim);
  });
  b.finish();
  return spec.headDim * 4;
}

int64_t sinter::cpu::emitKvWrite(ModuleOp module, StringRef symbol, CpuIsa isa,
                                 const KvWriteSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  const CacheShape &cache = spec.cache;
  Value k = b.arg(0), v = b.arg(1), keys = b.arg(2), values = b.arg(3);
  Value scale = inverseScale(b, spec.kScale, 4);
  b.loop(b.begin, b.end, 1, [&](Value task) {
    Value token = b.div(task, 2 * cache.heads), part = b.rem(task, 2 * cache.heads);
    Value slot = tokenField(b, offsetof(SinterBatch, slots), token);
    b.when(b.less(b.i64(-1), slot), [&] {
      Value head = b.rem(part, cache.heads);
      CachePlace place = cachePlace(b, cache, keys, values, slot, head);
      Value row = b.add(b.mul(token, cache.heads), head);
      Value byte = b.mul(row, cache.headDim * bytesOf(spec.type));
      b.choose(
          b.less(part, cache.heads),
          [&] {
            writeKey(b, b.at(k, byte), spec.type, place.key, cache, scale);
            return Values();
          },
          [&] {
            convertHead(b, b.at(v, byte), spec.type, place.value, cache.type, cache.headDim);
            return Values();
          });
    });
  });
  b.finish();
  return 0;
}

int64_t sinter::cpu::emitQkNormRopeWrite(ModuleOp module, StringRef symbol, CpuIsa isa,
                                         const QkvSpec &spec) {
  KernelBuilder b(module, symbol, isa);
  const CacheShape &cache = spec.cache;
  const int64_t dim = cache.headDim, queries = spec.queryHeads, all = queries + 2 * cache.heads;
  const int64_t headBytes = dim * bytesOf(spec.type);
  Value qkv = b.arg(0), table = b.arg(1), q = b.arg(2), keys = b.arg(3), values = b.arg(4);
  Value keyScale = inverseScale(b, spec.kScale, 7);

  auto normOf = [&](Value head, unsigned gammaArg) {
    if (!spec.norm)
      return HeadNorm{};
    Values sums =
        b.chunks(dim, 4, zeroSums(b), [&](Value i, int64_t lanes, int64_t slot, Values &carried) {
          Value v = b.load(b.at(head, b.mul(i, bytesOf(spec.type))), spec.type, lanes);
          carried[slot] = b.fma(v, v, carried[slot]);
        });
    return HeadNorm{rstd(b, sums, dim, spec.eps), b.arg(gammaArg)};
  };
  auto query = [&](Value head, Value token, Value index) {
    ropeToScratch(b, head, spec.type, dim, anglesOf(b, table, token, dim), normOf(head, 5), {});
    Value row = b.add(b.mul(token, queries), index);
    convertHead(b, b.scratch, DType::F32, b.at(q, b.mul(row, headBytes)), spec.type, dim);
    return Values();
  };
  auto cached = [&](Value head, Value token, Value index) {
    Value slot = tokenField(b, offsetof(SinterBatch, slots), token);
    b.when(b.less(b.i64(-1), slot), [&] {
      Value kvHead = b.rem(b.sub(index, b.i64(queries)), cache.heads);
      CachePlace place = cachePlace(b, cache, keys, values, slot, kvHead);
      b.choose(
          b.less(index, queries + cache.heads),
          [&] {
            ropeToScratch(b, head, spec.type, dim, anglesOf(b, table, token, dim), normOf(head, 6),
                          keyScale);
            writeKey(b, b.scratch, DType::F32, place.key, cache, {});
            return Values();
          },
          [&] {
            convertHead(b, head, spec.type, place.value, cache.type, dim);
            return Values();
          });
    });
    return Values();
  };
  b.loop(b.begin, b.end, 1, [&](Value task) {
    Value token = b.div(task, all), index = b.rem(task, all);
    Value head = b.at(qkv, b.mul(task, headBytes));
    b.choose(
        b.less(index, queries), [&] { return query(head, token, index); },
        [&] { return cached(head, token, index); });
  });
  b.finish();
  return dim * 4;
}
