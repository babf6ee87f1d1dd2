//===- Templates.h - the kernels that can be generated ----------*- C++ -*-===//
//
// One spec per template: everything a kernel's code depends on. An emit function adds one function
// to the module and returns the bytes of scratch a thread needs for it. Argument lists are those of
// SinterLaunch::args. Vectors (norm weights, biases) are f32 in memory.
//
// T is SinterBatch::num_tokens, or num_rows where the spec says `rows`.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "KernelBuilder.h"

namespace sinter::cpu {

/// y = epilogue(rstd(x) * ((x * gamma) W^T) + bias): all linears.
/// args: x [T, K], w, y [T, N], gamma [K], bias, residual [T, N], partials.
/// tasks: groups of taskTiles() tiles of 16 outputs.
struct LinearSpec {
  enum Epilogue { Store, Swiglu, Argmax };
  int64_t k;
  llvm::SmallVector<int64_t, 4> sourceRows; ///< rows of W, each source padded to whole tiles
  DType weight, x, y;
  int64_t maxTokens; ///< largest T this kernel serves: picks the register tile
  Epilogue epilogue = Store;
  bool rows = false, norm = false, bias = false, residual = false;
  float eps = 0;

  int64_t weightRows() const;
  int64_t outputs() const; ///< N: half the rows with Swiglu
  int64_t tiles() const;   ///< tiles of outputs
  int64_t taskTiles() const;
  int64_t tasks() const { return ceilDiv(tiles(), taskTiles()); }
  int64_t tileBytes() const;
  bool takesPairs() const { return weight == DType::BF16 && x == DType::BF16; }
  /// Swiglu needs the first up row at the start of a tile.
  bool gateUpAligned() const;
};
int64_t emitLinear(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const LinearSpec &);

/// Classes of T with one kernel each; returns the largest T of the class.
int64_t tokenClass(int64_t maxTokens);

/// value[r], index[r] = the best of partials [R][count] {f32, i32}. args: partials, value, index.
/// tasks: R.
struct ArgmaxMergeSpec {
  int64_t count;
};
int64_t emitArgmaxMerge(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const ArgmaxMergeSpec &);

/// args: x [R, N], value, index. tasks: R.
struct ArgmaxSpec {
  int64_t n;
  DType x;
};
int64_t emitArgmax(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const ArgmaxSpec &);

/// y = rms_norm(x), or with `add` sum = a + b and y = rms_norm(sum) (sum rounded first).
/// args: x or a, gamma, y, b, sum. tasks: rows of k elements.
struct NormSpec {
  int64_t k;
  DType type;
  float eps;
  bool add = false;
};
int64_t emitNorm(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const NormSpec &);

/// Row by row without reductions. tasks: rows.
///   Add: a, b, y.  Swiglu: gate, up (null: one operand [T, 2N]), y.
///   Copy: x (row stride `stride`, first column `offset`), y.
///   Select: x, y; row r of y is row rows[r] of x.
struct RowSpec {
  enum Kind { Add, Swiglu, Swiglu1, Copy, Select };
  Kind kind;
  int64_t n;
  DType type;
  int64_t stride = 0, offset = 0;
};
int64_t emitRows(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const RowSpec &);

/// y[t] = row tokens[t] of a `tiled16` table. args: table, y. tasks: T.
struct EmbeddingSpec {
  int64_t k;
  llvm::SmallVector<int64_t, 4> sourceRows;
  DType table, y;
};
int64_t emitEmbedding(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const EmbeddingSpec &);

/// A layer's part of a page with layout k_packed.
struct CacheShape {
  int64_t heads, page, headDim;
  DType type;
  int64_t headBytes() const { return page * headDim * bytesOf(type); } ///< one head of one stream
  int64_t streamBytes() const { return heads * headBytes(); }
  int64_t packing() const { return type == DType::BF16 ? 2 : 1; }
};

/// args: x [T, heads, D], table, y. tasks: T * heads.
struct RopeSpec {
  int64_t heads, headDim;
  DType type;
};
int64_t emitRope(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const RopeSpec &);

/// cache[slots[t]] = k[t] / k_scale, v[t]. args: k, v, K stream, V stream, k_scale (may be null).
/// tasks: T * 2 * heads.
struct KvWriteSpec {
  CacheShape cache;
  DType type;
  bool kScale;
};
int64_t emitKvWrite(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const KvWriteSpec &);

/// args: qkv, table, q, K stream, V stream, q_gamma, k_gamma, k_scale.
/// tasks: T * (queryHeads + 2 * heads).
struct QkvSpec {
  CacheShape cache;
  int64_t queryHeads;
  DType type;
  bool norm, kScale;
  float eps;

  bool roundsToBf16() const { return type == DType::BF16 || cache.type == DType::BF16; }
};
int64_t emitQkNormRopeWrite(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const QkvSpec &);

/// Attention cuts positions into chunks at absolute multiples of this.
constexpr int64_t kAttentionChunk = 512;

/// args: q [T, Hq, D], y, K stream, V stream, k_scale (may be null), partials (null unless split).
/// tasks: S * heads * ceil(max_q / blockTokens); split: heads * ceil(max_ctx / kAttentionChunk).
struct AttentionSpec {
  CacheShape cache;
  int64_t queryHeads;
  DType type;
  bool kScale;
  float scale;
  int64_t maxTokens;
  int64_t window = 0; ///< a token sees the last `window` positions up to its own; 0: all
  /// For one token: a task is one chunk and leaves its state in partials, for emitAttentionMerge.
  bool split = false;

  int64_t group() const { return queryHeads / cache.heads; }
  bool takesPairs() const { return type == DType::BF16 && cache.type == DType::BF16; }
  int64_t blockTokens() const;  ///< query tokens per task
  int64_t partialBytes() const; ///< of one chunk of one head
};
int64_t emitAttention(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const AttentionSpec &);

/// The second half of a split attention. args as there. tasks: heads.
int64_t emitAttentionMerge(mlir::ModuleOp, llvm::StringRef symbol, CpuIsa, const AttentionSpec &);

} // namespace sinter::cpu
