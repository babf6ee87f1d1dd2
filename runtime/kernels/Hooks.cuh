//===- Hooks.cuh - masks and score modifiers of attention --------------*- CUDA -*-===//
#pragma once

#include "device.h"

namespace sinter::kernels {

/// What the compiler replaces for masks and score modifiers: pure, inlined, called without
/// branches. `b` is the sequence, `h` the query head; scores come in natural units, after K-unscale
/// and softmax scale. `kCausal` says that the mask is this one and the score unchanged, which lets
/// prefill skip both where they change nothing; it must be false for any other hooks. With
/// `kWindow` a query sees of what the mask lets it see the last `window` positions up to its own; a
/// template argument, so that kernels without a window are what they would be if there were none.
struct CausalHooks {
  static constexpr bool kCausal = true, kWindow = false;
  SINTER_DEVICE static bool mask(int, int, int qPos, int kvPos) { return kvPos <= qPos; }
  SINTER_DEVICE static float score(float s, int, int, int, int) { return s; }
};

struct WindowHooks : CausalHooks {
  static constexpr bool kWindow = true;
};

SINTER_DEVICE bool inWindow(int window, int qPos, int kvPos) { return kvPos > qPos - window; }

} // namespace sinter::kernels
