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

#define SINTER_PREFILL(name, type, dim)                                                            \
  SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPrefillThreads, 2)                                           \
      name(const SINTER_GRID_CONSTANT PrefillArgs args) {                                          \
    PrefillAttention<type, dim, CausalHooks>::run(args);                                           \
  }
#include "PrefillVariants.def"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPrefillWgmmaThreads, 1)
    sinter_prefill_wgmma_bf16_d128(const SINTER_GRID_CONSTANT PrefillArgs args) {
  PrefillWgmma<BF16, CausalHooks>::run(args);
}
SINTER_KERNEL SINTER_LAUNCH_BOUNDS(kPrefillWgmmaThreads, 1)
    sinter_prefill_wgmma_f16_d128(const SINTER_GRID_CONSTANT PrefillArgs args) {
  PrefillWgmma<F16, CausalHooks>::run(args);
}
#endif
