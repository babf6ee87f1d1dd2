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
#define SINTER_DECODE_QWEN3(name, type, limit, hooks, fold)                                        \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(128, 2) name(const SINTER_GRID_CONSTANT DecodeArgs args) {    \
    DecodeArgs folded = args;                                                                      \
    folded.k_packed = 0;                                                                           \
    folded.k_dequant = nullptr;                                                                    \
    folded.v_dequant = nullptr;                                                                    \
    fold;                                                                                          \
    DecodeAttention<type, type, 128, 1, hooks, 4, limit>::run(folded);                             \
  }
#define SINTER_QWEN3_06B                                                                           \
  folded.page_log2 = 4;                                                                            \
  folded.heads = 16;                                                                               \
  folded.kv_heads = 8;                                                                             \
  folded.early = 1
SINTER_DECODE_QWEN3(sinter_decode_qwen3_bf16, BF16, SINTER_QWEN3_LIMIT, CausalHooks, )
SINTER_DECODE_QWEN3(sinter_decode_qwen3_f16, F16, SINTER_QWEN3_LIMIT, CausalHooks, )
SINTER_DECODE_QWEN3(sinter_decode_qwen3_06b, BF16, SINTER_QWEN3_LIMIT, CausalHooks,
                    SINTER_QWEN3_06B)
SINTER_DECODE_QWEN3(sinter_decode_qwen3_06b_one, BF16, SINTER_QWEN3_LIMIT_ONE, CausalHooks,
                    SINTER_QWEN3_06B)
SINTER_DECODE_QWEN3(sinter_decode_window_qwen3_bf16, BF16, SINTER_QWEN3_LIMIT, WindowHooks, )
SINTER_DECODE_QWEN3(sinter_decode_window_qwen3_f16, F16, SINTER_QWEN3_LIMIT_ONE, WindowHooks, )

#define SINTER_DECODE_WINDOW(name, query, cache, dim)                                              \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS((DecodeMath<query, cache, dim, 1>::kLayout.threads()), 2)     \
      name(const SINTER_GRID_CONSTANT DecodeArgs args) {                                           \
    DecodeAttention<query, cache, dim, 1, WindowHooks>::run(args);                                 \
  }
SINTER_DECODE_WINDOW(sinter_decode_window_bf16_bf16_d128, BF16, BF16, 128)
SINTER_DECODE_WINDOW(sinter_decode_window_f16_f16_d64, F16, F16, 64)
SINTER_DECODE_WINDOW(sinter_decode_window_bf16_e4m3_d128, BF16, E4M3, 128)
SINTER_DECODE_WINDOW(sinter_decode_window_f32_f32_d64, F32, F32, 64)
#endif

#define SINTER_DECODE(name, query, cache, dim, row_tiles)                                          \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(                                                              \
      (DecodeMath<query, cache, dim, row_tiles>::kLayout.threads()), 2)                            \
      name(const SINTER_GRID_CONSTANT DecodeArgs args) {                                           \
    DecodeAttention<query, cache, dim, row_tiles, CausalHooks>::run(args);                         \
  }
#include "DecodeVariants.def"
