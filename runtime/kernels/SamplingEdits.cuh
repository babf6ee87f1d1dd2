//===- SamplingEdits.cuh - logits as a request wants them changed ------*- CUDA -*-===//
//
// Part of `top`, contract in Sampling.h. What is not finite stays as it is: `top` has yet to see it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Sampling.h"
#include "device.h"

namespace sinter::kernels {

SINTER_DEVICE bool isFinite(float x) { return (asBits(x) & 0x7f800000u) != 0x7f800000u; }

/// Rounded on its own: the host does not fuse it with what follows either.
SINTER_DEVICE float product(float a, float b) {
  float r;
  asm("mul.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
SINTER_DEVICE float quotient(float a, float b) {
  float r;
  asm("div.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}

/// What overflows stays at the largest float.
SINTER_DEVICE float bounded(float x) {
  constexpr float kMost = 3.402823466e38f;
  return x > kMost ? kMost : x < -kMost ? -kMost : x;
}

SINTER_DEVICE float editedLogit(float x, const SinterTokenEdit &e, const SinterSampling &p) {
  if (e.seen != 0)
    x = bounded(x < 0 ? product(x, p.repetition) : quotient(x, p.repetition));
  if (e.generated != 0)
    x = bounded(x - p.presence - product(p.frequency, float(e.generated)));
  return bounded(x + e.bias);
}

/// The edits that fall into [begin, end) of the row.
SINTER_DEVICE void editLogits(float *x, int begin, int end, const SinterSampling &p) {
  for (u32 i = u32(threadIndex()); i < p.num_edits; i += kSampleThreads) {
    const SinterTokenEdit edit = p.edits[i];
    if (edit.token < begin || edit.token >= end)
      continue;
    if (const float logit = x[edit.token]; isFinite(logit))
      x[edit.token] = editedLogit(logit, edit, p);
  }
}

/// Minus infinity for what is not allowed of x[first + j * kSampleThreads], whose values v[j] are.
template <int kCount>
SINTER_DEVICE void forbidLogits(float *x, int first, int end, const u32 *allowed,
                                float (&v)[kCount]) {
  u32 word[kCount];
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const int i = first + j * kSampleThreads;
    word[j] = i < end ? allowed[i / 32] : ~0u;
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const int i = first + j * kSampleThreads;
    if ((word[j] >> (i & 31) & 1) == 0)
      v[j] = x[i] = minusInfinity();
  }
}

} // namespace sinter::kernels
