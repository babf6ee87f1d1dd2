//===- Tensor.cpp - the reference interpreter's values --------------------===//
#include "sinter/Interpreter/Tensor.h"

#include "sinter/Support/Half.h"

#include <algorithm>
#include <cassert>
#include <cmath>

using namespace sinter;
using namespace sinter::interp;

static size_t elements(const std::vector<int64_t> &shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return size_t(count);
}

Tensor::Tensor(std::vector<int64_t> shape) : shape(std::move(shape)) {
  data.resize(elements(this->shape));
}

Tensor::Tensor(std::vector<int64_t> shape, std::vector<double> data)
    : shape(std::move(shape)), data(std::move(data)) {
  assert(this->data.size() == elements(this->shape) && "shape and data disagree");
}

Tensor Tensor::ofInts(const std::vector<int32_t> &values) {
  return Tensor({int64_t(values.size())}, std::vector<double>(values.begin(), values.end()));
}

int64_t Tensor::rowSize() const {
  int64_t size = 1;
  for (size_t i = 1; i < shape.size(); ++i)
    size *= shape[i];
  return size;
}

/// To the nearest multiple of the last place, ties to even, at most `largest`; NaN stays NaN.
static double roundToFp8(double value, int mantissa, int smallestExponent, double largest) {
  if (value == 0 || std::isnan(value))
    return value;
  const double magnitude = std::min(std::abs(value), largest);
  const double unit = std::ldexp(1, std::max(std::ilogb(magnitude), smallestExponent) - mantissa);
  return std::copysign(std::nearbyint(magnitude / unit) * unit, value);
}

double interp::roundTo(DType type, double value) {
  switch (type) {
  case DType::F32:
    return float(value);
  case DType::BF16:
    return bf16ToF32(f32ToBf16(float(value)));
  case DType::F16:
    return f16ToF32(f32ToF16(float(value)));
  case DType::E4M3:
    return roundToFp8(float(value), 3, -6, 448);
  case DType::E5M2:
    return roundToFp8(float(value), 2, -14, 57344);
  case DType::I32:
    break;
  }
  return value;
}

Tensor interp::roundTo(DType type, Tensor tensor) {
  for (double &value : tensor.data)
    value = roundTo(type, value);
  return tensor;
}

double interp::relativeL2(const Tensor &got, const Tensor &want) {
  if (got.shape != want.shape)
    return std::numeric_limits<double>::infinity();
  return relativeL2(got.data.data(), want.data.data(), got.data.size());
}
