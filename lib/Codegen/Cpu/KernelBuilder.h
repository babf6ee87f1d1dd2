//===- KernelBuilder.h - what kernel templates are written with -*- C++ -*-===//
//
// Builds one function with the signature of SinterKernel. Templates see addresses (bytes), 64-bit
// integers, f32 scalars and logical vectors of 16 f32 lanes; memory holds f32, bf16 or f16. A
// logical vector is one register on x86-64-v4 and two on v3, so both instruction sets do the same
// arithmetic in the same order and give the same bits. Dot products of bf16 pairs exist on
// x86-64-v4-bf16 only.
//
// Only KernelBuilder*.cpp see the upstream dialects: templates compile quickly.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Conversion/StepProgram.h"

#include "mlir/IR/BuiltinOps.h"
#include "sinter/Support/DType.h"

#include "mlir/IR/Builders.h"

#include <functional>

namespace sinter::cpu {

using mlir::Value;
using Values = llvm::SmallVector<Value, 4>;

constexpr int64_t kLanes = 16;

inline int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t roundUp(int64_t a, int64_t b) { return ceilDiv(a, b) * b; }
inline int64_t bytesOf(DType t) { return static_cast<int64_t>(dtypeBytes(t)); }

class KernelBuilder {
public:
  /// Starts function `symbol` at the end of `module`; finish() ends it.
  KernelBuilder(mlir::ModuleOp module, llvm::StringRef symbol, CpuIsa isa);
  void finish();

  CpuIsa isa;
  Value begin, end; ///< i64: this call's tasks
  Value scratch;

  //--- i64 ---
  Value i64(int64_t value);
  Value add(Value a, Value b);
  Value add(Value a, int64_t b) { return add(a, i64(b)); }
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value mul(Value a, int64_t b) { return mul(a, i64(b)); }
  Value div(Value a, Value b); ///< unsigned
  Value div(Value a, int64_t b) { return div(a, i64(b)); }
  Value rem(Value a, Value b); ///< unsigned
  Value rem(Value a, int64_t b) { return rem(a, i64(b)); }
  Value min(Value a, Value b); ///< signed
  Value min(Value a, int64_t b) { return min(a, i64(b)); }
  Value max(Value a, Value b); ///< signed
  Value ceilDivide(Value a, int64_t b) { return div(add(a, b - 1), b); }
  Value less(Value a, Value b); ///< signed, i1
  Value less(Value a, int64_t b) { return less(a, i64(b)); }
  Value equal(Value a, Value b);
  Value both(Value a, Value b);
  Value either(Value a, Value b);
  Value select(Value condition, Value a, Value b); ///< scalars or vectors

  //--- memory ---
  Value at(Value pointer, Value byteOffset);
  Value at(Value pointer, int64_t byteOffset) {
    return byteOffset ? at(pointer, i64(byteOffset)) : pointer;
  }
  Value loadPointer(Value p);
  Value loadI64(Value p);
  Value loadI32(Value p); ///< as i64, sign extended
  Value loadF32(Value p);
  void storeI32(Value p, Value i64);
  void storeF32(Value p, Value f32);
  /// Moves 2 or 4 bytes.
  void copyElement(Value from, Value to, int64_t bytes);
  /// Asks for the cache line at p, wherever that is.
  void prefetch(Value p);
  void prefetchFar(Value p); ///< into L2 only

  //--- the launch ---
  Value arg(unsigned i);
  Value batchU32(size_t offset);     ///< a scalar field of SinterBatch
  Value batchPointer(size_t offset); ///< a pointer field
  Value pageBytes();

  //--- vectors of 16 f32 ---
  Value f32(float value);
  Value splat(Value f32);
  Value splat(float value);
  Value fma(Value a, Value b, Value c); ///< a * b + c, rounded once
  Value mulf(Value a, Value b);
  Value addf(Value a, Value b);
  Value subf(Value a, Value b);
  Value divf(Value a, Value b);
  Value sqrt(Value a);
  Value negate(Value a);
  /// b where it is larger, else a: a NaN in b is not taken.
  Value maxKeep(Value a, Value b);
  Value lessF(Value a, Value b);     ///< ordered
  Value equalF(Value a, Value b);    ///< ordered
  Value lessOrNaN(Value a, Value b); ///< unordered or less
  Value isNaN(Value a);
  Value lane(Value v, int64_t i); ///< element i
  /// Lanes i and i ^ distance change places.
  Value swapLanes(Value v, int64_t distance);
  Value sumLanes(Value v); ///< f32, a fixed tree
  Value maxLanes(Value v); ///< f32
  Value exp(Value x);      ///< within 2 ulp, 0 below the normal range
  Value silu(Value x);

  //--- V4Bf16: vectors of 16 pairs of bf16, as i32 ---
  Value loadPairs(Value p);
  Value splatPair(Value p); ///< the pair at p in every lane
  /// sum + a.odd * b.odd + a.even * b.even, in this order, each sum rounded; denormals are zero.
  Value dotPairs(Value sum, Value a, Value b);
  /// Element by element the pairs (a[i], c[i]) of 32 bf16 each: those of 0 to 3 of each 128 bits
  /// (eight elements), and those of 4 to 7.
  std::pair<Value, Value> interleavePairs(Value a, Value c);
  /// Two vectors of f32 whose elements lie as interleavePairs leaves them, in order.
  std::pair<Value, Value> inOrder(Value low, Value high);

  //--- vectors of 16 i32 ---
  Value laneIndices(Value base); ///< base + lane, base is i64
  Value splatI32(Value i64);
  Value lessI(Value a, Value b); ///< signed, also for i32 scalars
  Value equalI(Value a, Value b);
  Value laneI64(Value v, int64_t i); ///< element i of an i32 vector, as i64
  Value f32Bits(Value v);            ///< the bits of f32 lanes, as i32
  Value fromBits(Value v);           ///< and back

  //--- vectors in memory; lanes from `lanes` on are neither read nor written, and load as zero ---
  Value load(Value p, DType type, int64_t lanes = kLanes);
  void store(Value p, DType type, Value v, int64_t lanes = kLanes);
  Value loadPartial(Value p, DType type, Value lanes);
  void storePartial(Value p, DType type, Value v, Value lanes);
  /// Stores `lanes` elements in groups of `group` neighbours, the groups `stride` bytes apart.
  void scatter(Value p, DType type, Value v, int64_t lanes, int64_t group, int64_t stride);
  /// v as it reads after a store and a load.
  Value rounded(Value v, DType type);
  /// Moves `lanes` elements of 16 bits.
  void copyHalves(Value from, Value to, int64_t lanes);
  /// 16 rows x columns (k, k + 1) of a `tiled16` weight tile or a `k_packed` page: `p` is the
  /// address of column k. 16-bit bf16 pairs lie side by side; else columns lie `stride` bytes
  /// apart.
  std::pair<Value, Value> loadColumnPair(Value p, DType type, int64_t stride);
  /// The first column of such a pair; the second need not exist unless the type is bf16.
  Value loadColumn(Value p, DType type);
  /// Column `parity` of such a pair.
  Value loadColumn(Value p, DType type, int64_t parity, int64_t stride);

  //--- control flow ---
  using Body = llvm::function_ref<Values(Value index, mlir::ValueRange carried)>;
  Values loop(Value from, Value to, int64_t step, mlir::ValueRange init, Body body);
  void loop(Value from, Value to, int64_t step, llvm::function_ref<void(Value)> body);
  void when(Value condition, llvm::function_ref<void()> body);
  Values choose(Value condition, llvm::function_ref<Values()> yes, llvm::function_ref<Values()> no);

  /// Walks `count` elements 16 at a time, `unroll` vectors per iteration, then the tail. `body`
  /// gets the element offset, the lanes there and which of the `unroll` it is; carried values pass
  /// through it.
  using Chunk =
      llvm::function_ref<void(Value element, int64_t lanes, int64_t slot, Values &carried)>;
  Values chunks(int64_t count, int64_t unroll, mlir::ValueRange init, Chunk body);

private:
  mlir::OpBuilder b;
  mlir::Location loc;
  Value launchPtr, batchPtr, argsPtr, slot;
  mlir::Block *entryBlock;
  Value widen(Value raw, DType type);
  Value narrow(Value v, DType type);
  Value bf16Bits(Value v);
  /// By the instruction of AVX512-BF16: denormals become zero.
  Value narrowBf16(Value v);
  Value scaleByPowerOf2(Value p, Value n);
  Value vectorSlot();
  Value shuffle(Value v, llvm::ArrayRef<int64_t> mask);
  Value firstLanes(Value v, int64_t lanes);
  mlir::Type vecF32(), vecI32();
  Value splatBits(int32_t value);
};

} // namespace sinter::cpu
