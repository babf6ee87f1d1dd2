//===- HalfTest.cpp - bf16 and f16 conversions ----------------------------===//
//
// Narrowing is compared with an oracle that knows only the widening function: the nearest of all
// finite 16-bit values, the even one of two equally near. Widening is compared with the arithmetic
// definition and, for f16, with the compiler's own type.
//
//===----------------------------------------------------------------------===//
#include "sinter/Support/Half.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <vector>

using namespace sinter;

namespace {

struct Format {
  int exponentBits, mantissaBits;
  float (*widen)(uint16_t);
  uint16_t (*narrow)(float);
  const char *name;
};

constexpr Format kFormats[] = {{8, 7, bf16ToF32, f32ToBf16, "bf16"},
                               {5, 10, f16ToF32, f32ToF16, "f16"}};

/// sign * mantissa * 2^e straight from the format's definition.
double define(const Format &f, uint16_t bits) {
  const int bias = (1 << (f.exponentBits - 1)) - 1;
  const int exponent = bits >> f.mantissaBits & ((1 << f.exponentBits) - 1);
  const int mantissa = bits & ((1 << f.mantissaBits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << f.exponentBits) - 1)
    return mantissa ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0)
    return sign * std::ldexp(mantissa, 1 - bias - f.mantissaBits);
  return sign * std::ldexp(mantissa + (1 << f.mantissaBits), exponent - bias - f.mantissaBits);
}

/// Nearest-even by search. The slot above the largest finite value is 2^(emax+1), where IEEE
/// rounding turns to infinity; its bit pattern is the one of infinity.
uint16_t narrowBySearch(const Format &f, float value) {
  const auto infinity = uint16_t(((1 << f.exponentBits) - 1) << f.mantissaBits);
  const auto magnitudeOf = [&](uint16_t bits) {
    return bits == infinity ? std::ldexp(1.0, 1 << (f.exponentBits - 1)) : define(f, bits);
  };
  const double x = std::fabs(double(value));
  uint16_t low = 0, high = infinity;
  while (high - low > 1) {
    const auto middle = uint16_t((low + high) / 2);
    (magnitudeOf(middle) <= x ? low : high) = middle;
  }
  const double below = x - magnitudeOf(low), above = magnitudeOf(high) - x;
  const uint16_t nearest = below < above || (below == above && low % 2 == 0) ? low : high;
  return uint16_t(nearest | (std::signbit(value) ? 0x8000 : 0));
}

TEST(Half, WideningIsExactForAllValues) {
  for (const Format &f : kFormats)
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      const double want = define(f, uint16_t(bits));
      const float got = f.widen(uint16_t(bits));
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(got)) << f.name << " " << bits;
        continue;
      }
      ASSERT_TRUE(got == want && std::signbit(got) == std::signbit(want)) << f.name << " " << bits;
    }
}

TEST(Half, NarrowingUndoesWidening) {
  for (const Format &f : kFormats)
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      const float wide = f.widen(uint16_t(bits));
      if (std::isnan(wide)) {
        ASSERT_TRUE(std::isnan(f.widen(f.narrow(wide)))) << f.name << " " << bits;
        continue;
      }
      ASSERT_EQ(f.narrow(wide), bits) << f.name;
    }
}

TEST(Half, NarrowingRoundsToNearestEven) {
  std::mt19937 random(1);
  for (const Format &f : kFormats) {
    for (int i = 0; i < 300000; ++i) {
      const float value = floatOf(random());
      if (std::isfinite(value)) {
        ASSERT_EQ(f.narrow(value), narrowBySearch(f, value)) << f.name << " " << value;
      }
    }
    // Every midpoint of two neighbours and the floats on either side of it.
    for (uint32_t bits = 0; bits < 0x7fff; ++bits) {
      const double here = define(f, uint16_t(bits)), next = define(f, uint16_t(bits + 1));
      if (!std::isfinite(here) || !std::isfinite(next))
        continue;
      const auto middle = float((here + next) / 2);
      for (float value : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, INFINITY)}) {
        ASSERT_EQ(f.narrow(value), narrowBySearch(f, value)) << f.name << " " << value;
        ASSERT_EQ(f.narrow(-value), narrowBySearch(f, -value)) << f.name << " " << -value;
      }
    }
  }
}

TEST(Half, OverflowAndTinyValues) {
  EXPECT_EQ(f32ToF16(65519.0f), 0x7bff);
  EXPECT_EQ(f32ToF16(65520.0f), 0x7c00);
  EXPECT_EQ(f32ToF16(-1e30f), 0xfc00);
  EXPECT_EQ(f32ToF16(0x1p-25f), 0x0000);
  EXPECT_EQ(f32ToF16(std::nextafter(0x1p-25f, 1.0f)), 0x0001);
  EXPECT_EQ(f32ToF16(1e-40f), 0x0000);
  EXPECT_EQ(f32ToF16(-1e-40f), 0x8000);
  EXPECT_EQ(f32ToBf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32ToBf16(floatOf(0x7f800001)), 0x7fc0) << "a NaN never becomes infinity";
  EXPECT_EQ(f32ToF16(floatOf(0x7f800001)) & 0x7e00, 0x7e00) << "a NaN never becomes infinity";
}

#if defined(__FLT16_MANT_DIG__)
TEST(Half, AgreesWithTheCompilersF16) {
  std::mt19937 random(2);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = uint16_t(bits);
    _Float16 native;
    std::memcpy(&native, &half, 2);
    if (!std::isnan(float(native))) {
      ASSERT_EQ(bitsOf(float(native)), bitsOf(f16ToF32(half))) << bits;
    }
  }
  for (int i = 0; i < 1000000; ++i) {
    // Exponents around the f16 range, where the rounding cases are.
    const float value = floatOf((random() & 0x807fffff) | (95 + random() % 55) << 23);
    const auto native = static_cast<_Float16>(value);
    uint16_t want;
    std::memcpy(&want, &native, 2);
    ASSERT_EQ(f32ToF16(value), want) << value;
  }
}
#endif

} // namespace
