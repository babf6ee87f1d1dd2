//===- Half.h - exact bf16 and f16 conversions ------------------*- C++ -*-===//
//
// 16-bit floats are carried as their bits. Widening is exact; narrowing rounds to nearest, ties to
// even, handles subnormals and overflow to infinity, and keeps NaN a (quiet) NaN. Header only:
// these are the scalar definitions that vector code is compared with.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <cstring>

namespace sinter {

inline uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float floatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float bf16ToF32(uint16_t half) { return floatOf(uint32_t(half) << 16); }

inline uint16_t f32ToBf16(float value) {
  const uint32_t bits = bitsOf(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return uint16_t(bits >> 16 | 0x40); // the payload's low bits go; bit 6 keeps it a NaN
  return uint16_t((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

inline float f16ToF32(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000u) << 16;
  const uint32_t exponent = half >> 10 & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1f)
    return floatOf(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0));
  if (exponent != 0)
    return floatOf(sign | (exponent + 112) << 23 | mantissa << 13);
  // Zero or subnormal: mantissa * 2^-24, exact in f32.
  return floatOf(sign | bitsOf(float(mantissa) * 0x1p-24f));
}

inline uint16_t f32ToF16(float value) {
  const uint32_t bits = bitsOf(value);
  const auto sign = uint16_t(bits >> 16 & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)
    return uint16_t(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
  if (magnitude >= 0x477ff000u) // 65520 and above round to infinity
    return uint16_t(sign | 0x7c00u);
  if (magnitude >= 0x38800000u) { // normal: drop 13 bits, exponent bias 127 -> 15
    const uint32_t rebiased = magnitude - (112u << 23);
    return uint16_t(sign | (rebiased + 0xfffu + (rebiased >> 13 & 1)) >> 13);
  }
  // Subnormal: adding 0.5 aligns the value's 2^-24 units with the sum's last bit, so that the FPU's
  // own rounding to nearest even does the work.
  return uint16_t(sign | (bitsOf(floatOf(magnitude) + 0.5f) - 0x3f000000u));
}

} // namespace sinter
