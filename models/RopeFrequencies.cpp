//===- RopeFrequencies.cpp - rotary frequencies as transformers has them --===//
//
// f32 where torch computes in f32, double where Python does: the two differ in the last bits, and
// those are multiplied by the position. This file is compiled without contraction to fused
// multiply-adds, which torch does not use here either.
//
//===----------------------------------------------------------------------===//
#include "models/ModelConfig.h"

#include <algorithm>
#include <cmath>

using namespace sinter;
using namespace sinter::models;

namespace {

double yarnMscale(double scale, double mscale) {
  return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

double yarnAttentionFactor(const RopeScaling &yarn) {
  if (yarn.attentionFactor)
    return *yarn.attentionFactor;
  if (yarn.mscale && yarn.mscaleAllDim)
    return yarnMscale(yarn.factor, *yarn.mscale) / yarnMscale(yarn.factor, *yarn.mscaleAllDim);
  return yarnMscale(yarn.factor, 1);
}

/// The dimension whose wavelength makes `rotations` turns within the original context.
double correctionDim(double rotations, const ModelConfig &config) {
  constexpr double kPi = 3.14159265358979323846;
  const double turns = double(config.ropeScaling.originalMaxPosition) / (rotations * 2 * kPi);
  return (double(config.headDim) * std::log(turns)) / (2 * std::log(config.ropeTheta));
}

/// Between `low` and `high` the frequencies blend from the original to the interpolated ones.
void applyYarn(const ModelConfig &config, const std::vector<float> &powers,
               std::vector<float> &invFreq) {
  const RopeScaling &yarn = config.ropeScaling;
  double low = correctionDim(yarn.betaFast, config);
  double high = correctionDim(yarn.betaSlow, config);
  if (yarn.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, double(config.headDim - 1));
  if (low == high)
    high += 0.001;
  for (size_t i = 0; i < powers.size(); ++i) {
    const float linear = (float(i) - float(low)) / float(high - low);
    const float ramp = std::min(std::max(linear, 0.0f), 1.0f);
    const float extrapolated = 1.0f / powers[i];
    const float interpolated = 1.0f / (float(yarn.factor) * powers[i]);
    const float weight = 1.0f - ramp;
    invFreq[i] = interpolated * (1.0f - weight) + extrapolated * weight;
  }
}

} // namespace

RopeFrequencies models::ropeInvFreq(const ModelConfig &config) {
  const auto count = static_cast<size_t>(config.headDim / 2);
  std::vector<float> powers(count);
  RopeFrequencies result;
  result.invFreq.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const float exponent = float(2 * i) / float(config.headDim);
    powers[i] = float(std::pow(double(float(config.ropeTheta)), double(exponent)));
    result.invFreq[i] = 1.0f / powers[i];
  }
  if (config.ropeScaling.kind == RopeScaling::Kind::Linear)
    for (float &frequency : result.invFreq)
      frequency /= float(config.ropeScaling.factor);
  if (config.ropeScaling.kind == RopeScaling::Kind::Yarn) {
    applyYarn(config, powers, result.invFreq);
    result.attentionScaling = float(yarnAttentionFactor(config.ropeScaling));
  }
  return result;
}
