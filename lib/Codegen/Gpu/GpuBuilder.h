//===- GpuBuilder.h - what GPU kernel templates are written with -*- C++ -*-===//
//
// Emits the body of one kernel. Templates see addresses (bytes), 32-bit integers, f32 scalars and
// `Chunk`s: neighbouring elements as they lie in memory, unpacked to f32 where they are used, so
// that a chunk in flight costs its bytes in registers and no more.
//
// Constant operands (weights, norm weights, biases, tables) are read with `Access::Constant`
// (ld.global.nc): those loads may be issued before the kernel's predecessor has finished.
// Everything else is `Access::Activation`, never marked invariant, and stays behind the wait.
//
// Only GpuBuilder*.cpp and Wrapper.cpp see the upstream dialects: templates compile quickly.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

#include <cstddef>

namespace sinter::gpu {

using mlir::Value;
using Values = llvm::SmallVector<Value, 8>;

constexpr int64_t kWarp = 32;

inline int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t roundUp(int64_t a, int64_t b) { return ceilDiv(a, b) * b; }
inline int64_t bytesOf(DType t) { return static_cast<int64_t>(dtypeBytes(t)); }

enum class Access { Constant, Activation };

/// `width` neighbouring elements: raw registers (vectors of 4 x i32, or one scalar).
struct Chunk {
  Values raw;
  DType type = DType::F32;
  int64_t width = 0;
};

class GpuBuilder {
public:
  /// Emits at the end of `block`. `sharedMemory` is the kernel's dynamic shared memory,
  /// !llvm.ptr<3>.
  GpuBuilder(mlir::OpBuilder &builder, mlir::Location loc, Value sharedMemory, int64_t threads)
      : b(builder), loc(loc), sharedBase(sharedMemory), threads(threads) {}

  mlir::OpBuilder &builder() { return b; }
  int64_t threadCount() const { return threads; }

  //--- where this thread is ---
  Value thread(); ///< in its CTA
  Value lane();
  Value warp();

  //--- i32 ---
  Value i32(int64_t value);
  Value add(Value a, Value c);
  Value add(Value a, int64_t c) { return c ? add(a, i32(c)) : a; }
  Value sub(Value a, Value c);
  Value mul(Value a, Value c);
  Value mul(Value a, int64_t c) { return c == 1 ? a : mul(a, i32(c)); }
  Value div(Value a, int64_t c); ///< unsigned
  Value rem(Value a, int64_t c); ///< unsigned
  Value exclusiveOr(Value a, Value c);
  Value min(Value a, Value c);  ///< signed
  Value less(Value a, Value c); ///< signed
  Value less(Value a, int64_t c) { return less(a, i32(c)); }
  Value equal(Value a, Value c);
  Value both(Value a, Value c);
  Value either(Value a, Value c);
  Value select(Value condition, Value a, Value c);

  //--- f32 ---
  Value f32(double value);
  Value fma(Value a, Value c, Value d);
  Value mulf(Value a, Value c);
  Value subf(Value a, Value c);
  Value addf(Value a, Value c);
  Value divf(Value a, Value c);
  Value negate(Value a);
  Value lessF(Value a, Value c); ///< ordered
  Value equalF(Value a, Value c);
  Value isNaN(Value a);
  Value isNumber(Value a);
  Value rsqrt(Value a);
  Value silu(Value a);
  /// v as it reads after a store and a load.
  Value rounded(Value v, DType type);

  //--- memory ---
  /// p + index * scale + offset, in bytes; the product is 64 bits wide.
  Value at(Value p, Value index, int64_t scale, int64_t offset = 0);
  Value at(Value p, int64_t offset);
  Value shared(int64_t offset);
  Value loadI32(Value p, Access access);
  Value loadF32(Value p, Access access = Access::Activation);
  void storeI32(Value p, Value v);
  void storeF32(Value p, Value v);
  Value load(Value p, DType type, Access access); ///< one element, as f32
  void store(Value p, DType type, Value v);       ///< one element
  /// 1 element, or 8 (16-byte aligned).
  Chunk loadChunk(Value p, DType type, int64_t width, Access access);
  /// 8 elements or more, 16-byte aligned (fp8: 8); fp8 saturates and needs sm_89.
  void storeChunk(Value p, DType type, mlir::ArrayRef<Value> f32Values);
  Values unpack(const Chunk &chunk);
  Chunk withRaw(const Chunk &like, mlir::ValueRange raw);
  /// Field of the SinterBatch at p: a count, or a pointer.
  Value batchU32(Value batch, size_t offset);
  Value batchPointer(Value batch, size_t offset);

  //--- warps and CTAs ---
  Value shuffleXor(Value v, int64_t mask); ///< f32 or i32
  Value sumWarp(Value v);                  ///< all lanes get the sum, one fixed tree
  void barrier();                          ///< all threads of the CTA

  //--- tensor cores: m16n8k16, f32 accumulators ---
  /// a: 4, c: 2 registers of two 16-bit elements; d: 4 f32, replaced.
  void mma(DType type, mlir::ArrayRef<Value> a, mlir::ArrayRef<Value> c,
           llvm::MutableArrayRef<Value> d);
  /// Four 8x8 matrices of 16-bit elements from shared memory.
  Values loadMatrices(Value sharedPointer);
  /// 16 bytes to shared memory; `bytes` (0 or 16) are read, the rest is zero.
  void copyAsync(Value to, Value from, Value bytes);
  void copyCommit();
  void copyWait(int64_t pending);
  /// Four f32 as one register of an fp8 type.
  Value packFp8(DType type, mlir::ArrayRef<Value> v);
  /// Two f32 as one register of `type`.
  Value pack(DType type, Value low, Value high);
  Value word(const Chunk &chunk, int64_t i); ///< register i of a 16-bit chunk, i32
  /// The two f32 of such a register.
  std::pair<Value, Value> halves(DType type, Value word);

  //--- control flow ---
  using Body = llvm::function_ref<Values(Value index, mlir::ValueRange carried)>;
  Values loop(Value from, Value to, int64_t step, mlir::ValueRange init, Body body);
  void loop(Value from, Value to, int64_t step, llvm::function_ref<void(Value)> body);
  void when(Value condition, llvm::function_ref<void()> body);

  Value intrinsic(mlir::Type result, llvm::StringRef name, mlir::ValueRange args);
  Value assembly(mlir::Type result, llvm::StringRef text, llvm::StringRef constraints,
                 mlir::ValueRange args = {});

  //--- sm_90a; addresses of shared memory are i32 here ---
  Value divide(Value a, Value c); ///< unsigned
  Value sharedAddress(int64_t offset);
  Value shuffle(Value v, Value lane); ///< f32
  Value uniform(Value v); ///< i32 that is the same in all lanes, known to be so to ptxas
  void barrier(Value id, int64_t count);       ///< `count` threads
  void barrierArrive(Value id, int64_t count); ///< of which this is one; does not wait
  void syncWarp();
  void mbarrierInit(Value address, int64_t count);
  void mbarrierInitDone(); ///< before copies count on them
  void mbarrierExpect(Value address, int64_t bytes) { mbarrierExpect(address, i32(bytes)); }
  void mbarrierExpect(Value address, Value bytes);
  void mbarrierArrive(Value address, Value condition);
  void mbarrierWait(Value address, Value parity);
  void prefetchTensorMap(Value map);
  /// The map's box at (row, column); counts on the mbarrier.
  void loadTensor(Value to, Value map, Value column, Value row, Value mbarrier);
  /// What other kernels stored, before it is read by TMA.
  void fenceAsyncGlobal();
  void storeRaw(Value p, const Chunk &chunk);
  /// Four 8x8 matrices of 16-bit elements to shared memory.
  void storeMatrices(Value sharedPointer, mlir::ArrayRef<Value> words);
  /// d += a c^T for 64 rows at address a, 2 * d.size() at c, 16 columns of swizzled 128-byte rows.
  void wgmma(DType type, Value a, Value c, Values &d);
  /// The same for addresses as descriptors have them: in units of 16 bytes.
  void wgmmaOf(DType type, Value a, Value c, Values &d);
  Value inDescriptor(Value address);
  void wgmmaFence();
  void wgmmaCommit();
  void wgmmaWait(int64_t pending);
  void wgmmaWaitAll(Values &d); ///< d may be read after it
  /// Registers of every thread of the warpgroup from here on: more (`takes`) or fewer.
  void setRegisters(bool takes, int64_t count);
  Value clusterRank();
  void clusterArrive();
  void clusterWait();
  /// A shared memory address in a CTA of the cluster.
  Value inCluster(Value address, Value rank);
  /// Four f32 to a CTA of the cluster; its mbarrier counts the 16 bytes.
  void storeCluster(Value clusterAddress, mlir::ArrayRef<Value> v, Value clusterBarrier,
                    Value condition);
  /// Acquires from the cluster.
  void mbarrierWaitCluster(Value address, Value parity);

private:
  void waitLoop(llvm::StringRef instruction, Value address, Value parity);
  void unpackAccumulators(Value result, Values &d);
  mlir::OpBuilder &b;
  mlir::Location loc;
  Value sharedBase;
  int64_t threads;
  Value element(Value vector, int64_t i);
  Value f32FromHalf(Value i16OrF16);
  mlir::Type floatType(DType type);
};

} // namespace sinter::gpu
