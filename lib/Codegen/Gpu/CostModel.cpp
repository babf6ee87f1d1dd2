//===- CostModel.cpp - how long a kernel should take ----------------------===//
#include "CostModel.h"

#include <algorithm>
#include <cmath>

using namespace sinter;
using namespace sinter::gpu;

ChipSpeed sinter::gpu::speedOf(const GpuChip &chip) {
  switch (chip.capability()) {
  case 80: // A100
    return {1.9e6, 40e3, 312e6, 280e6, 9e6, 2.6, 108};
  case 86: // RTX 3090
    return {0.9e6, 35e3, 71e6, 65e6, 10e6, 2.6, 82};
  case 89: // RTX 4090
    return {1.0e6, 45e3, 165e6, 150e6, 20e6, 2.4, 128};
  default: // H200. Without sm_90a's own instructions mma.sync is the best there is.
    return {4.54e6, 70e3, chip.wgmma() ? 770e6 : 450e6, 450e6, 19e6, 0.7, 132};
  }
}

static double ceilTo(double value, double unit) { return std::ceil(value / unit) * unit; }

namespace {

/// What differs between the templates.
struct Unit {
  double peak;
  double start;  ///< until the first results: pipeline depth, barriers, epilogue
  double tokens; ///< a tile pads its tokens to that many
};

} // namespace

static Unit unitOf(const ChipSpeed &speed, const LinearSpec &spec, const LinearTuning &chosen) {
  const double tokens = static_cast<double>(std::max<int64_t>(chosen.tokens, 1));
  switch (chosen.kind) {
  case LinearTuning::SkinnyMma:
    // x * gamma goes through the tensor cores twice.
    return {speed.portable * (spec.norm && !spec.xg ? 0.25 : 0.5), 0.5, tokens};
  case LinearTuning::TiledMma:
    return {speed.portable * 0.7, 1.2, tokens};
  case LinearTuning::WgmmaSkinny:
    return {speed.tensorPeak * 0.8, chosen.splits > 1 ? 1.1 : 0.9, tokens};
  case LinearTuning::WgmmaGemm:
    return {speed.tensorPeak, 1.5, tokens};
  default:
    return {speed.scalarPeak, 0.3, tokens};
  }
}

double sinter::gpu::predictLinear(const GpuChip &chip, const LinearSpec &spec,
                                  const LinearTuning &chosen, const TilePlan &plan) {
  const ChipSpeed speed = speedOf(chip);
  const Unit unit = unitOf(speed, spec, chosen);
  const auto n = static_cast<double>(spec.n), k = static_cast<double>(spec.k);
  const double tokens = ceilTo(static_cast<double>(spec.maxTokens), unit.tokens);
  const double tokenTiles = tokens / unit.tokens;
  const double xBytes = static_cast<double>(dtypeBytes(spec.x)),
               yBytes = static_cast<double>(dtypeBytes(spec.y));
  const double weights = n * k * static_cast<double>(dtypeBytes(spec.w));
  const double ctas = static_cast<double>(plan.tiles * plan.cluster);
  // Activations come from the L2, where the kernel before has just left them: they count for the
  // SMs' intake but not for memory.
  const double rowsPerTile =
      std::max(1.0, static_cast<double>(chosen.rows * std::max<int64_t>(chosen.warpsN, 1)));
  const double rowTiles = std::ceil(n / rowsPerTile);
  const double taken = weights * tokenTiles + rowTiles * tokens * k * xBytes;
  const auto processors = static_cast<double>(speed.processors);
  // The fullest processor decides: whole waves of CTAs, or of tiles for those that walk.
  const double units = chosen.maxTiles ? rowTiles * tokenTiles : ctas;
  const double imbalance = ceilTo(units, processors) / std::max(units, 1.0);
  const double memory = (weights + static_cast<double>(spec.maxTokens) *
                                       static_cast<double>(spec.outputs()) * yBytes) /
                        speed.bandwidth;
  const double intake = taken *
                        std::max(std::min(imbalance, 2.0), processors / std::max(ctas, 1.0)) /
                        (speed.intake * processors);
  const double math = 2 * tokens * n * k / unit.peak * std::min(imbalance, 2.0);
  return speed.launch + unit.start + std::max({memory, intake, math});
}

double sinter::gpu::predictRows(const GpuChip &chip, const RowSpec &spec) {
  const ChipSpeed speed = speedOf(chip);
  double operands = 2;
  if (spec.kind == RowSpec::Add || spec.kind == RowSpec::Swiglu || spec.kind == RowSpec::SwigluTwo)
    operands = 3;
  else if (spec.kind == RowSpec::AddRmsNorm)
    operands = 4;
  const double bytes = operands * static_cast<double>(spec.k * spec.perToken * spec.maxTokens) *
                       static_cast<double>(dtypeBytes(spec.x));
  // A token's row is one CTA's: long rows take several rounds of loads.
  const double row = static_cast<double>(spec.k) * 2 / speed.intake;
  return speed.launch + 0.6 + row + bytes / (2 * speed.bandwidth);
}

double sinter::gpu::predictAttention(const GpuChip &chip, double kvBytes, double flops) {
  const ChipSpeed speed = speedOf(chip);
  constexpr double kMerge = 3; // parts of a sequence meet in memory
  return speed.launch + kMerge +
         std::max(kvBytes / speed.bandwidth, flops / (0.7 * speed.tensorPeak));
}
