//===- Attention.h - kernels over the paged cache, hand-written -*- C++ -*-===//
//
// The bodies are CUDA C++ (runtime/kernels, contracts in the headers there), linked into the
// generated module and inlined with the spec as constants. Kernel parameters are pointers in the
// order given here, the SinterBatch always last.
//
// Attention of an entry takes
//
//   once a step, before the first layer:  a decode plan for each window of the layers; prefill plan
//                                         where `usesPrefill`
//   per layer, after the cache write:     decode attention; prefill attention where `usesPrefill`
//
// The two partition the sequences by their number of tokens (at most kDecodeMaxQuery, or more), so
// their order does not matter. Where prefill is not used, decode takes every sequence: entries with
// short sequences only, and types that the prefill kernels do not have. With `invariant` one of the
// two takes every sequence of every entry: prefill where its kernels have the types, else decode,
// which then splits nothing.
//
// A plan is written once a step and read by every layer; that of decode by every layer of one
// window. Partials are scratch of one launch. Counters must be zero before the first launch ever;
// every launch leaves them zero, so that they need memory of their own, which nobody else writes.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Templates.h"

namespace sinter::gpu {

struct AttentionSpec {
  PagedCache cache;
  int64_t heads = 0; ///< query heads
  DType x = DType::BF16;
  bool kScale = false;
  float scale = 1;
  int64_t maxTokens = 1;
  int64_t maxQ = 0;       ///< most tokens of one sequence; 0: any number
  int64_t maxSeqs = 0;    ///< most sequences; 0: one per token
  int64_t fixedChunk = 0; ///< not 0: splits of this size
  int64_t window = 0;     ///< a token sees the last `window` positions up to its own; 0: all
  /// A token's bits depend on its own context only, not on how many tokens come at once.
  bool invariant = false;
  /// A full edge lies between the decode plan and the layers: then work list and old positions of
  /// the cache are read before the wait for the predecessor.
  bool early = false;
};

/// Bytes an entry needs, for any number of layers.
struct AttentionMemory {
  int64_t decodePlan = 0;  ///< 0: no decode kernels
  int64_t prefillPlan = 0; ///< 0: no prefill kernels
  int64_t partials = 0;
  int64_t counters = 0; ///< zero at first, never shared
};

/// Whether an entry needs the prefill kernels, and the decode kernels.
bool usesPrefill(const AttentionSpec &spec);
bool usesDecode(const AttentionSpec &spec);
/// In which order an invariant spec sums over positions: equal words, equal bits.
std::string attentionOrder(const GpuChip &chip, const AttentionSpec &spec);
AttentionMemory attentionMemory(const GpuChip &chip, const AttentionSpec &spec);

/// parameters: decode plan
mlir::FailureOr<GpuKernel> emitDecodePlan(mlir::Operation *gpuModule, llvm::StringRef name,
                                          const GpuChip &chip, const AttentionSpec &spec);
/// parameters: q [T, Hq, D], out [T, Hq, D], K and V stream of page 0, k_scale f32 [1] if kScale,
/// decode plan, partials, counters
mlir::FailureOr<GpuKernel> emitDecodeAttention(mlir::Operation *gpuModule, llvm::StringRef name,
                                               const GpuChip &chip, const AttentionSpec &spec);
/// parameters: prefill plan
mlir::FailureOr<GpuKernel> emitPrefillPlan(mlir::Operation *gpuModule, llvm::StringRef name,
                                           const GpuChip &chip, const AttentionSpec &spec);
/// Whether prefill attention has the kernel for sm_90a.
bool prefillUsesWgmma(const GpuChip &chip, const AttentionSpec &spec);
/// Whether prefill attention reads K and V through tensor maps: sm_90a, caches of 16 bits.
bool prefillTakesMaps(const GpuChip &chip, const AttentionSpec &spec);
/// parameters: q, out, K and V stream of page 0, k_scale if kScale, prefill plan, K and V stream
/// again if it takes maps
mlir::FailureOr<GpuKernel> emitPrefillAttention(mlir::Operation *gpuModule, llvm::StringRef name,
                                                const GpuChip &chip, const AttentionSpec &spec);

/// parameters: qkv [T, (Hq + 2H) D], table f32 [P, D], q [T, Hq, D], K and V stream of page 0,
/// q_gamma and k_gamma f32 [D] if norm, k_scale f32 [1] if kScale
mlir::FailureOr<GpuKernel> emitQkNormRopeWrite(mlir::Operation *gpuModule, llvm::StringRef name,
                                               const GpuChip &chip, const CacheWriteSpec &spec);
/// Whether decode attention can do qk_norm_rope_write on the way; saves a launch and q's round
/// trip.
bool readsRawQkv(const AttentionSpec &spec);
/// qk_norm_rope_write and decode attention in one: parameters qkv, table, out, K and V stream of
/// page 0, q_gamma and k_gamma if norm, k_scale if kScale, decode plan, partials, counters
mlir::FailureOr<GpuKernel> emitDecodeFromQkv(mlir::Operation *gpuModule, llvm::StringRef name,
                                             const GpuChip &chip, const AttentionSpec &spec,
                                             const CacheWriteSpec &write);
/// parameters: k, v [T, H, D], K and V stream of page 0, k_scale if kScale
mlir::FailureOr<GpuKernel> emitKvWrite(mlir::Operation *gpuModule, llvm::StringRef name,
                                       const GpuChip &chip, const CacheWriteSpec &spec);
/// parameters: x [T, heads, D], table f32 [P, D], y [T, heads, D], which may be x
mlir::FailureOr<GpuKernel> emitRope(mlir::Operation *gpuModule, llvm::StringRef name,
                                    const GpuChip &chip, const CacheWriteSpec &spec);

} // namespace sinter::gpu
