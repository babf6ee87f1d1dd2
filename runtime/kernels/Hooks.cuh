//===- Hooks.cuh - masks and score modifiers of attention --------------*- CUDA -*-===//
#pragma once

#include "device.h"

namespace sinter::kernels {

/// What the compiler replaces for masks and score modifiers: pure, inlined, called without
/// branches. `b` is the sequence, `h` the query head; scores come in natural units, after K-unscale
/// and softmax scale. `kCausal` says that the mask is this one and the score unchanged, which lets
/// prefill skip both where they change nothing; it must be false for any other hooks.
struct CausalHooks {
  static constexpr bool kCausal = true;
  SINTER_DEVICE static bool mask(int, int, int qPos, int kvPos) { return kvPos <= qPos; }
  SINTER_DEVICE static float score(float s, int, int, int, int) { return s; }
};

} // namespace sinter::kernels
