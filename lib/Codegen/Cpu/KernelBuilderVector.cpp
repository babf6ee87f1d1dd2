//===- KernelBuilderVector.cpp - vectors of 16 lanes ----------------------===//
//
// Rounding to bf16 is done on integers: arith.truncf would become a library call per element. exp
// is a polynomial for the same reason. Nothing here carries fast-math flags.
//
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <numeric>

using namespace mlir;
using namespace sinter;
using namespace sinter::cpu;

Type KernelBuilder::vecF32() { return VectorType::get({kLanes}, b.getF32Type()); }
Type KernelBuilder::vecI32() { return VectorType::get({kLanes}, b.getI32Type()); }

static VectorType sameShape(Value v, Type element) {
  return VectorType::get(cast<VectorType>(v.getType()).getShape(), element);
}

Value KernelBuilder::f32(float value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
}
Value KernelBuilder::splat(Value v) { return vector::BroadcastOp::create(b, loc, vecF32(), v); }
Value KernelBuilder::splat(float value) {
  auto type = cast<ShapedType>(vecF32());
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, value));
}
Value KernelBuilder::splatBits(int32_t value) {
  auto type = cast<ShapedType>(vecI32());
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, value));
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

Value KernelBuilder::fma(Value a, Value x, Value c) { return LLVM::FMAOp::create(b, loc, a, x, c); }
Value KernelBuilder::mulf(Value a, Value c) { return arith::MulFOp::create(b, loc, a, c); }
Value KernelBuilder::addf(Value a, Value c) { return arith::AddFOp::create(b, loc, a, c); }
Value KernelBuilder::subf(Value a, Value c) { return arith::SubFOp::create(b, loc, a, c); }
Value KernelBuilder::divf(Value a, Value c) { return arith::DivFOp::create(b, loc, a, c); }
Value KernelBuilder::sqrt(Value a) { return LLVM::SqrtOp::create(b, loc, a); }
Value KernelBuilder::negate(Value a) { return arith::NegFOp::create(b, loc, a); }

static Value compare(OpBuilder &b, Location loc, arith::CmpFPredicate p, Value a, Value c) {
  return arith::CmpFOp::create(b, loc, p, a, c);
}
Value KernelBuilder::lessF(Value a, Value c) {
  return compare(b, loc, arith::CmpFPredicate::OLT, a, c);
}
Value KernelBuilder::equalF(Value a, Value c) {
  return compare(b, loc, arith::CmpFPredicate::OEQ, a, c);
}
Value KernelBuilder::lessOrNaN(Value a, Value c) {
  return compare(b, loc, arith::CmpFPredicate::ULT, a, c);
}
Value KernelBuilder::isNaN(Value a) { return compare(b, loc, arith::CmpFPredicate::UNO, a, a); }
Value KernelBuilder::maxKeep(Value a, Value c) { return select(lessF(a, c), c, a); }

Value KernelBuilder::laneIndices(Value base) {
  llvm::SmallVector<int32_t> iota(kLanes);
  std::iota(iota.begin(), iota.end(), 0);
  Value lanes = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(cast<ShapedType>(vecI32()), ArrayRef<int32_t>(iota)));
  return arith::AddIOp::create(b, loc, splatI32(base), lanes);
}
Value KernelBuilder::splatI32(Value v) {
  Value narrow = arith::TruncIOp::create(b, loc, b.getI32Type(), v);
  return vector::BroadcastOp::create(b, loc, vecI32(), narrow);
}
Value KernelBuilder::lessI(Value a, Value c) { return less(a, c); }
Value KernelBuilder::equalI(Value a, Value c) { return equal(a, c); }
Value KernelBuilder::lane(Value v, int64_t i) { return vector::ExtractOp::create(b, loc, v, i); }
Value KernelBuilder::laneI64(Value v, int64_t i) {
  return arith::ExtSIOp::create(b, loc, b.getI64Type(), lane(v, i));
}
Value KernelBuilder::shuffle(Value v, ArrayRef<int64_t> mask) {
  return vector::ShuffleOp::create(b, loc, v, v, mask);
}
Value KernelBuilder::swapLanes(Value v, int64_t distance) {
  llvm::SmallVector<int64_t> mask;
  for (int64_t i = 0; i < kLanes; ++i)
    mask.push_back(i ^ distance);
  return shuffle(v, mask);
}
Value KernelBuilder::sumLanes(Value v) {
  for (int64_t distance : {8, 4, 2, 1})
    v = addf(v, swapLanes(v, distance));
  return lane(v, 0);
}
Value KernelBuilder::maxLanes(Value v) {
  for (int64_t distance : {8, 4, 2, 1})
    v = maxKeep(v, swapLanes(v, distance));
  return lane(v, 0);
}

Value KernelBuilder::f32Bits(Value v) {
  return arith::BitcastOp::create(b, loc, sameShape(v, b.getI32Type()), v);
}
Value KernelBuilder::fromBits(Value v) {
  return arith::BitcastOp::create(b, loc, sameShape(v, b.getF32Type()), v);
}

/// exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln(2) / 2, exp(r) by its Taylor series: the
/// first term left out is below 2^-27. 2^n is applied by one instruction or in two factors, for n
/// up to 128: the same bits, as no result is denormal. The clamps pass NaN on. n comes from adding
/// 1.5 * 2^23, which leaves the integer in the sum's low bits.
Value KernelBuilder::exp(Value x) {
  Value low = splat(-87.33f), high = splat(89.0f);
  Value clamped = select(lessF(x, low), low, x);
  clamped = select(lessF(high, clamped), high, clamped);
  Value shifter = splat(0x1.8p23f);
  Value shifted = fma(clamped, splat(1.44269504088896340736f), shifter);
  Value n = subf(shifted, shifter);
  // ln 2 in two parts; the first has trailing zeros, so that n times it is exact.
  Value r = fma(n, splat(-0x1.62e4p-1f), clamped);
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  Value p = splat(1.0f / 5040);
  for (float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    p = fma(p, r, splat(c));
  if (isa != CpuIsa::V3)
    return select(lessF(x, low), splat(0.0f), scaleByPowerOf2(p, n));
  Value whole = arith::SubIOp::create(b, loc, f32Bits(shifted), f32Bits(shifter));
  Value half = arith::ShRSIOp::create(b, loc, whole, splatBits(1));
  Value rest = arith::SubIOp::create(b, loc, whole, half);
  for (Value part : {half, rest}) {
    Value biased = arith::AddIOp::create(b, loc, part, splatBits(127));
    p = mulf(p, fromBits(arith::ShLIOp::create(b, loc, biased, splatBits(23))));
  }
  return select(lessF(x, low), splat(0.0f), p);
}

/// p * 2^n for whole n, by AVX512F.
Value KernelBuilder::scaleByPowerOf2(Value p, Value n) {
  Value all = arith::ConstantOp::create(b, loc, b.getI16IntegerAttr(-1));
  Value current = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(4)); // rounding mode
  return LLVM::CallIntrinsicOp::create(b, loc, vecF32(),
                                       b.getStringAttr("llvm.x86.avx512.mask.scalef.ps.512"),
                                       ValueRange{p, n, splat(0.0f), all, current})
      .getResults();
}

Value KernelBuilder::silu(Value x) { return divf(x, addf(splat(1.0f), exp(negate(x)))); }

//===----------------------------------------------------------------------===//
// Vectors in memory
//===----------------------------------------------------------------------===//

/// Round to nearest, ties to even, as Support/Half.h does it; i32 lanes, result in the low half.
Value KernelBuilder::bf16Bits(Value v) {
  Value bits = f32Bits(v);
  Value high = arith::ShRUIOp::create(b, loc, bits, splatBits(16));
  Value odd = arith::AndIOp::create(b, loc, high, splatBits(1));
  Value bias = arith::AddIOp::create(b, loc, odd, splatBits(0x7fff));
  Value rounded =
      arith::ShRUIOp::create(b, loc, arith::AddIOp::create(b, loc, bits, bias), splatBits(16));
  Value quiet = arith::OrIOp::create(b, loc, high, splatBits(0x40));
  return select(isNaN(v), quiet, rounded);
}

Value KernelBuilder::widen(Value raw, DType type) {
  if (type == DType::F32)
    return raw;
  if (type == DType::F16) {
    Value halves = arith::BitcastOp::create(b, loc, sameShape(raw, b.getF16Type()), raw);
    return arith::ExtFOp::create(b, loc, vecF32(), halves);
  }
  Value wide = arith::ExtUIOp::create(b, loc, vecI32(), raw);
  return fromBits(arith::ShLIOp::create(b, loc, wide, splatBits(16)));
}

Value KernelBuilder::narrow(Value v, DType type) {
  if (type == DType::F32)
    return v;
  if (type == DType::F16) {
    Value halves = arith::TruncFOp::create(b, loc, sameShape(v, b.getF16Type()), v);
    return arith::BitcastOp::create(b, loc, sameShape(v, b.getI16Type()), halves);
  }
  if (isa == CpuIsa::V4Bf16 && sameShape(v, b.getF32Type()) == vecF32())
    return arith::BitcastOp::create(b, loc, sameShape(v, b.getI16Type()), narrowBf16(v));
  return arith::TruncIOp::create(b, loc, sameShape(v, b.getI16Type()), bf16Bits(v));
}

static Type memoryType(OpBuilder &b, DType type, int64_t lanes) {
  Type element = type == DType::F32 ? Type(b.getF32Type()) : Type(b.getI16Type());
  return VectorType::get({lanes}, element);
}

Value KernelBuilder::load(Value p, DType type, int64_t lanes) {
  const unsigned alignment = static_cast<unsigned>(bytesOf(type));
  Value raw = LLVM::LoadOp::create(b, loc, memoryType(b, type, lanes), p, alignment);
  if (lanes < kLanes) {
    Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(raw.getType()));
    llvm::SmallVector<int64_t> mask;
    for (int64_t i = 0; i < kLanes; ++i)
      mask.push_back(i < lanes ? i : lanes);
    raw = vector::ShuffleOp::create(b, loc, raw, zero, mask);
  }
  return widen(raw, type);
}

void KernelBuilder::store(Value p, DType type, Value v, int64_t lanes) {
  Value raw = narrow(v, type);
  LLVM::StoreOp::create(b, loc, firstLanes(raw, lanes), p, static_cast<unsigned>(bytesOf(type)));
}

Value KernelBuilder::firstLanes(Value v, int64_t lanes) {
  if (lanes == kLanes)
    return v;
  llvm::SmallVector<int64_t> mask(lanes);
  std::iota(mask.begin(), mask.end(), 0);
  return shuffle(v, mask);
}

// Masked stores would do, but LLVM 22 writes 4 bytes for a narrowed 16-bit vector whose constant
// mask has one lane. Partial vectors are rare: they go through 64 bytes of stack.

Value KernelBuilder::vectorSlot() {
  if (!slot) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(entryBlock);
    slot = LLVM::AllocaOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext()), b.getI8Type(),
                                  i64(kLanes * 4), 64);
  }
  return slot;
}

Value KernelBuilder::loadPartial(Value p, DType type, Value lanes) {
  Value buffer = vectorSlot();
  store(buffer, DType::F32, splat(0.0f));
  loop(i64(0), lanes, 1, [&](Value i) {
    Value byte = mul(i, bytesOf(type));
    copyElement(at(p, byte), at(buffer, byte), bytesOf(type));
  });
  return load(buffer, type);
}

void KernelBuilder::storePartial(Value p, DType type, Value v, Value lanes) {
  Value buffer = vectorSlot();
  store(buffer, type, v);
  loop(i64(0), lanes, 1, [&](Value i) {
    Value byte = mul(i, bytesOf(type));
    copyElement(at(buffer, byte), at(p, byte), bytesOf(type));
  });
}

void KernelBuilder::scatter(Value p, DType type, Value v, int64_t lanes, int64_t group,
                            int64_t stride) {
  Value raw = narrow(v, type);
  if (group == 2)
    raw = vector::BitCastOp::create(b, loc, VectorType::get({kLanes / 2}, b.getI32Type()), raw);
  const auto alignment = static_cast<unsigned>(group * bytesOf(type));
  for (int64_t i = 0; i < lanes / group; ++i)
    LLVM::StoreOp::create(b, loc, lane(raw, i), at(p, i * stride), alignment);
}

Value KernelBuilder::rounded(Value v, DType type) { return widen(narrow(v, type), type); }

std::pair<Value, Value> KernelBuilder::loadColumnPair(Value p, DType type, int64_t stride) {
  if (type != DType::BF16)
    return {load(p, type), load(at(p, stride), type)};
  Value words = LLVM::LoadOp::create(b, loc, vecI32(), p, 4);
  Value even = arith::ShLIOp::create(b, loc, words, splatBits(16));
  Value odd = arith::AndIOp::create(b, loc, words, splatBits(static_cast<int32_t>(0xffff0000u)));
  return {fromBits(even), fromBits(odd)};
}

Value KernelBuilder::loadColumn(Value p, DType type) {
  if (type != DType::BF16)
    return load(p, type);
  Value words = LLVM::LoadOp::create(b, loc, vecI32(), p, 4);
  return fromBits(arith::ShLIOp::create(b, loc, words, splatBits(16)));
}

Value KernelBuilder::loadColumn(Value p, DType type, int64_t parity, int64_t stride) {
  if (parity == 0)
    return loadColumn(p, type);
  if (type != DType::BF16)
    return load(at(p, stride), type);
  Value words = LLVM::LoadOp::create(b, loc, vecI32(), p, 4);
  return fromBits(
      arith::AndIOp::create(b, loc, words, splatBits(static_cast<int32_t>(0xffff0000u))));
}

//===----------------------------------------------------------------------===//
// AVX512-BF16
//===----------------------------------------------------------------------===//

Value KernelBuilder::loadPairs(Value p) { return LLVM::LoadOp::create(b, loc, vecI32(), p, 4); }
Value KernelBuilder::splatPair(Value p) {
  Value pair = LLVM::LoadOp::create(b, loc, b.getI32Type(), p, 4);
  return vector::BroadcastOp::create(b, loc, vecI32(), pair);
}

Value KernelBuilder::dotPairs(Value sum, Value a, Value c) {
  auto halves = VectorType::get({2 * kLanes}, b.getBF16Type());
  Value x = vector::BitCastOp::create(b, loc, halves, a);
  Value y = vector::BitCastOp::create(b, loc, halves, c);
  return LLVM::CallIntrinsicOp::create(b, loc, vecF32(),
                                       b.getStringAttr("llvm.x86.avx512bf16.dpbf16ps.512"),
                                       ValueRange{sum, x, y})
      .getResults();
}

std::pair<Value, Value> KernelBuilder::interleavePairs(Value a, Value c) {
  auto halves = VectorType::get({2 * kLanes}, b.getI16Type());
  Value x = vector::BitCastOp::create(b, loc, halves, a);
  Value y = vector::BitCastOp::create(b, loc, halves, c);
  const auto part = [&](int64_t first) -> Value {
    SmallVector<int64_t> from;
    for (int64_t i = 0; i < kLanes; ++i)
      from.append({i / 4 * 8 + i % 4 + first, 2 * kLanes + i / 4 * 8 + i % 4 + first});
    Value pairs = vector::ShuffleOp::create(b, loc, x, y, from);
    return vector::BitCastOp::create(b, loc, vecI32(), pairs);
  };
  return {part(0), part(4)};
}

std::pair<Value, Value> KernelBuilder::inOrder(Value low, Value high) {
  const auto part = [&](int64_t first) -> Value {
    SmallVector<int64_t> from;
    for (int64_t i = 0; i < kLanes; ++i)
      from.push_back(first + i / 8 * 4 + i % 4 + (i % 8 < 4 ? 0 : kLanes));
    return vector::ShuffleOp::create(b, loc, low, high, from);
  };
  return {part(0), part(8)};
}

Value KernelBuilder::narrowBf16(Value v) {
  return LLVM::CallIntrinsicOp::create(b, loc, VectorType::get({kLanes}, b.getBF16Type()),
                                       b.getStringAttr("llvm.x86.avx512bf16.cvtneps2bf16.512"),
                                       ValueRange{v})
      .getResults();
}

void KernelBuilder::copyHalves(Value from, Value to, int64_t lanes) {
  Value raw = LLVM::LoadOp::create(b, loc, VectorType::get({lanes}, b.getI16Type()), from, 2);
  LLVM::StoreOp::create(b, loc, raw, to, 2);
}
