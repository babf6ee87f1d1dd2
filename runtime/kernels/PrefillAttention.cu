//===- PrefillAttention.cu - paged prefill attention: kernels ----------*- CUDA -*-===//
#include "PrefillAttention.cuh"
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#include "PrefillWgmma.cuh"
#endif

using namespace sinter::kernels;

SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPlanThreads, 1)
    sinter_prefill_plan(const SINTER_GRID_CONSTANT PrefillPlanArgs args) {
  prefillPlan(args);
}

#define SINTER_PREFILL(name, type, cache, dim)                                                     \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPrefillThreads, 2)                                           \
      name(const SINTER_GRID_CONSTANT PrefillArgs args) {                                          \
    PrefillAttention<type, cache, dim, CausalHooks>::run(args);                                    \
  }
#include "PrefillVariants.def"

/// With a window.
#define SINTER_PREFILL_WINDOW(name, type, cache, dim)                                              \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPrefillThreads, 2)                                           \
      name(const SINTER_GRID_CONSTANT PrefillArgs args) {                                          \
    PrefillAttention<type, cache, dim, WindowHooks>::run(args);                                    \
  }
SINTER_PREFILL_WINDOW(sinter_prefill_window_bf16_bf16_d128, BF16, BF16, 128)
SINTER_PREFILL_WINDOW(sinter_prefill_window_f16_f16_d64, F16, F16, 64)
SINTER_PREFILL_WINDOW(sinter_prefill_window_bf16_e4m3_d128, BF16, E4M3, 128)
SINTER_PREFILL_WINDOW(sinter_prefill_window_f16_f16_d256, F16, F16, 256)

// For sm_90a with the page size folded, and as the compiler makes it for Qwen3 0.6B (16 query and 8
// kv heads).
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SINTER_PREFILL_WGMMA(name, type, cache, log2, hooks, fold)                                 \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPrefillWgmmaThreads, 1)                                      \
      name(const SINTER_GRID_CONSTANT PrefillMapped mapped) {                                      \
    PrefillArgs folded = mapped.args;                                                              \
    folded.k_map = mapped.k_map;                                                                   \
    folded.v_map = mapped.v_map;                                                                   \
    folded.page_log2 = log2;                                                                       \
    fold;                                                                                          \
    PrefillWgmma<type, cache, hooks>::run(folded);                                                 \
  }
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_page8, BF16, BF16, 3, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_page16, BF16, BF16, 4, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_page32, BF16, BF16, 5, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_page64, BF16, BF16, 6, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_f16_page16, F16, F16, 4, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_e4m3_page8, BF16, E4M3, 3, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_e4m3_page16, BF16, E4M3, 4, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_e5m2_page64, BF16, E5M2, 6, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_f16_e4m3_page32, F16, E4M3, 5, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_f16_e5m2_page16, F16, E5M2, 4, CausalHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_qwen3_bf16, BF16, BF16, 4, CausalHooks, folded.heads = 16;
                     folded.kv_heads = 8)
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_window_bf16_page8, BF16, BF16, 3, WindowHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_window_bf16_page16, BF16, BF16, 4, WindowHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_window_f16_page64, F16, F16, 6, WindowHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_window_bf16_e4m3_page16, BF16, E4M3, 4, WindowHooks, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_window_f16_e5m2_page8, F16, E5M2, 3, WindowHooks, )
#endif
