//===- DecodeAttention.cu - paged decode attention: kernels ------------*- CUDA -*-===//
//
// Thin wrappers over the bodies. SINTER_GROUP picks a part of the variants, so that they
// can be compiled in parallel.
//
//===----------------------------------------------------------------------===//
#include "DecodeAttention.cuh"
#include "DecodePlan.cuh"

using namespace sinter::kernels;

#if !defined(SINTER_GROUP) || SINTER_GROUP == 4
SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPlanThreads, 1)
    sinter_decode_plan(const SINTER_GRID_CONSTANT DecodePlanArgs args) {
  decodePlan(args);
}

/// Qwen3 with groups of up to 4: what a generated kernel looks like after folding; the last two with
/// 16-token pages and the heads of the 0.6B, one of them in steps of one token.
#if __CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1000
#define SINTER_QWEN3_LIMIT kDecodeSharedLimitSm90
#define SINTER_QWEN3_LIMIT_ONE kDecodeSharedLimitOne
#else
#define SINTER_QWEN3_LIMIT kDecodeSharedLimit
#define SINTER_QWEN3_LIMIT_ONE kDecodeSharedLimit
#endif
#define SINTER_DECODE_QWEN3(name, type, limit, fold)                                               \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(128, 2) name(const SINTER_GRID_CONSTANT DecodeArgs args) {    \
    DecodeArgs folded = args;                                                                      \
    folded.k_packed = 0;                                                                           \
    folded.k_dequant = nullptr;                                                                    \
    folded.v_dequant = nullptr;                                                                    \
    fold;                                                                                          \
    DecodeAttention<type, type, 128, 1, CausalHooks, 4, limit>::run(folded);                       \
  }
#define SINTER_QWEN3_06B                                                                           \
  folded.page_log2 = 4;                                                                            \
  folded.heads = 16;                                                                               \
  folded.kv_heads = 8;                                                                             \
  folded.early = 1
SINTER_DECODE_QWEN3(sinter_decode_qwen3_bf16, BF16, SINTER_QWEN3_LIMIT, )
SINTER_DECODE_QWEN3(sinter_decode_qwen3_f16, F16, SINTER_QWEN3_LIMIT, )
SINTER_DECODE_QWEN3(sinter_decode_qwen3_06b, BF16, SINTER_QWEN3_LIMIT, SINTER_QWEN3_06B)
SINTER_DECODE_QWEN3(sinter_decode_qwen3_06b_one, BF16, SINTER_QWEN3_LIMIT_ONE, SINTER_QWEN3_06B)
#endif

#define SINTER_DECODE(name, query, cache, dim, row_tiles)                                          \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(                                                              \
      (DecodeMath<query, cache, dim, row_tiles>::kLayout.threads()), 2)                            \
      name(const SINTER_GRID_CONSTANT DecodeArgs args) {                                           \
    DecodeAttention<query, cache, dim, row_tiles, CausalHooks>::run(args);                         \
  }
#include "DecodeVariants.def"
