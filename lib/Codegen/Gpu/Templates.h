//===- Templates.h - the GPU kernels that can be generated ---*- C++ -*-===//
//
// One spec per kernel family: everything a kernel's code depends on. `emit*` adds one kernel to a
// gpu.module and says how to launch it. Kernel parameters are pointers to device memory, in the
// order given here without those the spec does not have; the last is always the SinterBatch, from
// which T (or R) is read on the device, so that a launch is the same for every step.
//
// Weights are row-major [N, K] as in the checkpoint. Norm weights and biases are f32.
// Rows of W and of activations are read 16 bytes at a time when K is a multiple of 8; other K take
// element-wise loads.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "PagedCache.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>
#include <string>

namespace sinter::gpu {

/// y = epilogue(rstd(x) * ((x * gamma) W^T) + bias): all linears.
/// parameters: x [T, K], w [N, K], gamma [K] (norm without xg), bias [N], residual [T, out],
/// sumsIn f32 [T, sumsIn], gammaNext f32 [out] (xgOut), then y [T, out]; or, with Argmax,
/// f32 [T, tiles] and i32 [T, tiles]; sumsOut f32 [T, tiles]; xgOut [T, out].
/// With `write` the results are q, k and v of qk_norm_rope_write, which the kernel does with them:
/// y is q [T, Hq, D], and behind it come K and V stream of page 0, table f32 [P, D], q_gamma and
/// k_gamma f32 [D] if it norms, k_scale f32 [1] if kScale.
/// The wgmma templates take x and w as tensor maps (GpuKernel::tensorMaps).
struct LinearSpec {
  enum Epilogue { Store, Swiglu, Argmax };
  int64_t n = 0; ///< rows of W; with Swiglu gate rows, then as many up rows
  int64_t k = 0;
  DType x = DType::BF16, w = DType::BF16, y = DType::BF16;
  int64_t maxTokens = 1;
  Epilogue epilogue = Store;
  bool norm = false, bias = false, residual = false;
  int64_t sumsIn = 0;   ///< partial sums of squares per row of x that its producer left; 0: none
  bool sumsOut = false; ///< leaves partial sums of squares of the rounded results
  bool xg = false;      ///< norm whose x is multiplied by gamma already; needs sumsIn, not f16
  bool xgOut = false;   ///< also leaves the rounded results times gammaNext, rounded; not f16
  bool rows = false;    ///< T is SinterBatch::num_rows
  /// A row's bits do not depend on maxTokens nor on the rows beside it (`linearOrder` says by what
  /// order); the partial sums of squares are then of 64 results each.
  bool invariant = false;
  float eps = 1e-6f;
  std::optional<CacheWriteSpec> write; ///< where `writesCache`
  int64_t outputs() const { return epilogue == Swiglu ? n / 2 : n; }
};

/// Tile parameters of the linear templates; 0 lets the template choose.
struct LinearTuning {
  /// For tests: random delays per warp before the successor is let go and after the wait; the same
  /// with the wait left out, which a test must notice.
  enum Stress { None, Delays, DelaysWithoutWait };
  enum Kind { Auto, Gemv, SkinnyMma, TiledMma, WgmmaSkinny, WgmmaGemm };
  Kind kind = Auto;
  int64_t rows = 0;        ///< Gemv: rows per warp; others: rows of W per tile
  int64_t warpsN = 0;      ///< warps along N
  int64_t warpsK = 0;      ///< warps that split K
  int64_t unroll = 0;      ///< 16-byte loads in flight per row and thread
  int64_t tokens = 0;      ///< tokens per tile
  int64_t stages = 0;      ///< TiledMma, Wgmma*: ring stages
  int64_t splits = 0;      ///< WgmmaSkinny: CTAs of a cluster that split K
  int64_t turns = 0;       ///< WgmmaGemm: 1 warpgroups share tiles, 2 they take them in turn
  int64_t tokenStages = 0; ///< Wgmma*: ring stages of x
  int64_t announce = 0;    ///< Wgmma*: the successor may start 1 at once, 2 after x, 3 at the end
  int64_t maxTiles = 0;    ///< CTAs at most (each then takes several tiles); 0: one per tile
  Stress stress = None;
};

/// Row kernels: one CTA or warp per token.
/// parameters, then the batch:
///   Embedding   table [V, K] -> y [T, K]         (token ids come from the batch)
///               with sumsOut: table, gammaNext f32 [K] -> y, sums f32 [T, sumsOut], xg [T, K]
///   SelectRows  x [T, K] -> y [R, K]             (rows come from the batch)
///   RmsNorm     x [T, K], gamma -> y [T, K]
///   Add         a, b [T, K] -> y [T, K]
///   AddRmsNorm  a, b [T, K], gamma -> sum, y [T, K]
///   Swiglu      gate and up side by side [T, 2K] -> y [T, K]
///   SwigluTwo   gate, up [T, K] -> y [T, K]
///   Columns     x [T, stride] -> y [T, K], the columns from `offset` on
///   ArgmaxMerge value f32 [R, K], index i32 [R, K] -> value f32 [R], index i32 [R]
///   Argmax      x [R, K] -> value f32 [R], index i32 [R]
struct RowSpec {
  enum Kind {
    Embedding,
    SelectRows,
    RmsNorm,
    Add,
    AddRmsNorm,
    Swiglu,
    ArgmaxMerge,
    Argmax,
    SwigluTwo,
    Columns
  };
  Kind kind = RmsNorm;
  int64_t k = 0;
  DType x = DType::BF16, y = DType::BF16; ///< embedding: x is the table's type
  int64_t maxTokens = 1;
  bool rows = false;
  /// Embedding for a linear with LinearSpec::xg: that many partial sums of squares, the first of
  /// which holds them all, and the rows times gammaNext; not f16.
  int64_t sumsOut = 0;
  float eps = 1e-6f;
  int64_t perToken = 1;           ///< rows of K that each token has: heads
  int64_t stride = 0, offset = 0; ///< Columns
  /// Embedding, ArgmaxMerge, Argmax: a last parameter i32 [R] that the one writes its indices to as
  /// well and the other reads: token id -1 - r is index r of the step before.
  bool feedback = false;
};

/// A parameter that is not a pointer but a CUtensorMap by value: 16-bit [rows, columns], row-major,
/// read in boxes with the 128-byte swizzle, zero outside. Boxes of 64 columns are [rows, 64]; those
/// of more have groups of eight rows, [rows / 8, columns / 64, 8, 64].
struct TensorMap {
  unsigned arg = 0; ///< which parameter
  DType type = DType::BF16;
  int64_t rows = 0, columns = 0;
  int64_t boxRows = 0, boxColumns = 0;
};

/// How a generated kernel is launched.
struct GpuKernel {
  std::string name;
  unsigned parameters = 0;
  int64_t grid = 1; ///< CTAs
  int64_t threads = 128;
  int64_t sharedBytes = 0;
  int64_t tiles = 1;
  int64_t partials = 0; ///< Argmax and sumsOut: results per token before the merge
  int64_t weightBytes = 0;
  int64_t cluster = 1; ///< CTAs per cluster; divides grid
  llvm::SmallVector<TensorMap, 2> tensorMaps;
  LinearTuning tuning;        ///< linears: as the template decided
  double predictedMicros = 0; ///< by the cost model, after a dependent launch; 0: no model
};

/// Compute capability as in `sm_90a`: 90. Dependent launches exist from 90 on.
struct GpuChip {
  std::string name = "sm_90a";
  int64_t capability() const;
  bool dependentLaunch() const { return capability() >= 90; }
  bool wgmma() const { return name == "sm_90a"; }
};

/// An empty gpu.module to put kernels into.
mlir::Operation *createGpuModule(mlir::ModuleOp parent, llvm::StringRef name);

/// Adds kernel `name`. Fails, with the reason on `module`'s location, when no template takes it.
mlir::FailureOr<GpuKernel> emitLinear(mlir::Operation *gpuModule, llvm::StringRef name,
                                      const GpuChip &chip, const LinearSpec &spec,
                                      const LinearTuning &tuning = {});
mlir::FailureOr<GpuKernel> emitRows(mlir::Operation *gpuModule, llvm::StringRef name,
                                    const GpuChip &chip, const RowSpec &spec);

/// In which order an invariant linear sums over K: equal words, equal bits.
std::string linearOrder(const GpuChip &chip, const LinearSpec &spec);

/// Whether `spec`, with a norm or without, is given a norm as x * gamma and row sums (`xg`), or
/// done before: wgmma feeds the tensor cores from memory and needs it so, mma.sync is faster with
/// it.
bool readsPreparedRows(const GpuChip &chip, LinearSpec spec);

/// Whether the kernel for `spec`, which need not say `write` yet, can do `write` with its results.
bool writesCache(const GpuChip &chip, const LinearSpec &spec, const CacheWriteSpec &write,
                 const LinearTuning &tuning = {});

/// Two linears in one persistent kernel of `ctas` CTAs that must all be resident: the parameters of
/// the first without its batch, those of the second with it, then a pointer to a u32 counter that
/// starts at 0 and is left at a multiple of `ctas`.
mlir::FailureOr<GpuKernel> emitLinearPair(mlir::Operation *gpuModule, llvm::StringRef name,
                                          const GpuChip &chip, const LinearSpec &first,
                                          const LinearSpec &second, int64_t ctas,
                                          const LinearTuning &tuning = {});

} // namespace sinter::gpu
