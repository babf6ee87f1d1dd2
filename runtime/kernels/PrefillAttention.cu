//===- PrefillAttention.cu - paged prefill attention: kernels ----------*- CUDA -*-===//
#include "PrefillAttention.cuh"

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
