//===- CostModel.h - how long a kernel should take --------------*- C++ -*-===//
//
// Roofline plus latency: the largest of (bytes from memory / bandwidth), (bytes an SM takes in /
// what it can take in) and (operations / peak of the units the template uses), by whole waves of
// CTAs, after a fixed time for a dependent launch and the first bytes. Fitted to one H200, scaled
// to other chips by their data sheets; within about a third of what was measured there.
//
// A prediction ranks candidates where nobody has measured; a measurement always wins over it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Template.h"
#include "Templates.h"

#include <optional>

namespace sinter::gpu {

/// What a chip can do at most. Bytes and operations per microsecond.
struct ChipSpeed {
  double bandwidth;   ///< of memory
  double intake;      ///< of one SM, from wherever
  double tensorPeak;  ///< bf16 x bf16 with f32 sums, best instructions
  double portable;    ///< the same with mma.sync
  double scalarPeak;  ///< f32 FMA units, with the conversions a bf16 dot product needs
  double launch;      ///< from one kernel to its successor: dependent launch where there is one
  int64_t processors; ///< SMs
};
ChipSpeed speedOf(const GpuChip &chip);

/// A linear with the parameters its template settled on, at `spec.maxTokens` tokens.
double predictLinear(const GpuChip &chip, const LinearSpec &spec, const LinearTuning &chosen,
                     const TilePlan &plan);
/// A row kernel: it moves its operands and waits.
double predictRows(const GpuChip &chip, const RowSpec &spec);
/// Attention over a cache of `kvBytes` with `flops` in the products.
double predictAttention(const GpuChip &chip, double kvBytes, double flops);

/// A candidate as the model sees it.
struct LinearCost {
  LinearTuning chosen;
  int64_t sharedBytes = 0;
  double micros = 0;
};
/// None where the template does not take `spec`.
std::optional<LinearCost> costOf(const GpuChip &chip, const LinearSpec &spec,
                                 const LinearTuning &tuning);

} // namespace sinter::gpu
