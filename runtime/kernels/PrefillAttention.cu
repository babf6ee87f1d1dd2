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

// For sm_90a with the page size folded, and as the compiler makes it for Qwen3 0.6B (16 query and 8
// kv heads).
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SINTER_PREFILL_WGMMA(name, type, log2, fold)                                               \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPrefillWgmmaThreads, 1)                                      \
      name(const SINTER_GRID_CONSTANT PrefillArgs args) {                                          \
    PrefillArgs folded = args;                                                                     \
    folded.page_log2 = log2;                                                                       \
    fold;                                                                                          \
    PrefillWgmma<type, CausalHooks>::run(folded);                                                  \
  }
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_page8, BF16, 3, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_page16, BF16, 4, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_page32, BF16, 5, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_bf16_page64, BF16, 6, )
SINTER_PREFILL_WGMMA(sinter_prefill_wgmma_f16_page16, F16, 4, )
SINTER_PREFILL_WGMMA(sinter_prefill_qwen3_bf16, BF16, 4, folded.heads = 16; folded.kv_heads = 8)
#endif
