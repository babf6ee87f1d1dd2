//===- WgmmaParts.cpp - the sums of batch-invariant wgmma linears ---------===//
#include "WgmmaRing.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

int64_t WgmmaRing::fixedParts(const LinearSpec &spec) {
  if (!spec.invariant || spec.outputs() % 8)
    return 1;
  const int64_t tiles = ceilDiv(spec.n, 64), steps = ceilDiv(spec.k, kColumns);
  const int64_t enough = spec.k > 4096 ? kProcessors : kProcessors / 2;
  int64_t count = 1;
  while (count < 8 && 2 * count * tiles <= enough && 2 * count <= steps)
    count *= 2;
  while ((count - 1) * ceilDiv(steps, count) >= steps) // none is empty
    count /= 2;
  return count;
}

/// Sums of each part of K apart, added up in order: what CTAs of a cluster with a part each make.
Values WgmmaRing::eachPart(GpuBuilder &b, ValueRange ring, PartBody multiply) const {
  const int64_t each = ceilDiv(steps(), parts), count = (major == Tokens ? rows : tokens) / 2;
  Values init(ring);
  init.append(static_cast<size_t>(count), b.f32(0));
  return b.loop(b.i32(0), b.i32(parts), 1, init, [&](Value part, ValueRange now) {
    Value left = b.sub(b.i32(steps()), b.mul(part, each));
    Values next = multiply(now.take_front(ring.size()), b.min(left, b.i32(each)));
    for (size_t i = ring.size(); i < next.size(); ++i)
      next[i] = b.addf(now[i], next[i]);
    return next;
  });
}
