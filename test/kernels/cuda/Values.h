//===- Values.h - element types and random numbers on the host ---*- C++ -*-===//
//
// Written without a look at device.h: the kernels' conversions are checked against these.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace sinter::test {

enum class Type { F32, BF16, F16, E4M3, E5M2 };

inline int bytesOf(Type t) {
  return t == Type::F32 ? 4 : t == Type::BF16 || t == Type::F16 ? 2 : 1;
}
inline const char *nameOf(Type t) {
  const char *names[] = {"f32", "bf16", "f16", "e4m3", "e5m2"};
  return names[int(t)];
}

/// A small float format; `ieee` ones have infinities, e4m3 has only NaN at the top.
struct Format {
  int mantissa, bias, exponentBits;
  double largest;
};
inline Format formatOf(Type t) {
  switch (t) {
  case Type::BF16:
    return {7, 127, 8, 3.3895313892515355e38};
  case Type::F16:
    return {10, 15, 5, 65504};
  case Type::E4M3:
    return {3, 7, 4, 448};
  default:
    return {2, 15, 5, 57344};
  }
}

/// Nearest even; above the largest number fp8 saturates and the others become infinite.
inline uint32_t encode(Type t, double x) {
  if (t == Type::F32) {
    const float f = float(x);
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    return bits;
  }
  const Format f = formatOf(t);
  const uint32_t sign = std::signbit(x) ? 1u << (f.mantissa + f.exponentBits) : 0u;
  if (std::isnan(x))
    return sign | ((1u << (f.mantissa + f.exponentBits)) - 1);
  double a = std::fabs(x);
  if (bytesOf(t) == 1)
    a = std::min(a, f.largest);
  if (a == 0)
    return sign;
  const int e = std::max(std::ilogb(a), 1 - f.bias);
  const double steps = std::nearbyint(std::ldexp(a, f.mantissa - e));
  // steps in [2^m, 2^(m+1)] for normal numbers: adding carries into the exponent where it must.
  const uint32_t code = uint32_t(steps) + uint32_t((e - (1 - f.bias)) << f.mantissa);
  const uint32_t infinity = ((1u << f.exponentBits) - 1) << f.mantissa;
  return sign | (bytesOf(t) == 2 ? std::min(code, infinity) : code);
}

inline float decode(Type t, uint32_t bits) {
  if (t == Type::F32) {
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
  }
  const Format f = formatOf(t);
  const uint32_t magnitude = bits & ((1u << (f.mantissa + f.exponentBits)) - 1);
  const int e = int(magnitude >> f.mantissa);
  const double m = magnitude & ((1u << f.mantissa) - 1);
  const int top = (1 << f.exponentBits) - 1;
  double a;
  if (t == Type::E4M3 ? magnitude == 0x7f : e == top)
    a = t != Type::E4M3 && m == 0 ? INFINITY : NAN;
  else
    a = e == 0 ? std::ldexp(m, 1 - f.bias - f.mantissa)
               : std::ldexp(m + (1 << f.mantissa), e - f.bias - f.mantissa);
  return float(bits >> (f.mantissa + f.exponentBits) & 1 ? -a : a);
}

inline void put(Type t, uint8_t *to, size_t index, uint32_t bits) {
  std::memcpy(to + index * size_t(bytesOf(t)), &bits, size_t(bytesOf(t)));
}
inline uint32_t fetch(Type t, const uint8_t *from, size_t index) {
  uint32_t bits = 0;
  std::memcpy(&bits, from + index * size_t(bytesOf(t)), size_t(bytesOf(t)));
  return bits;
}

/// xorshift64*; uniform with variance 1.
class Random {
public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x1234567u) {
    for (int i = 0; i < 4; ++i)
      next();
  }
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  int below(int n) { return int((next() >> 33) % uint64_t(n)); }
  float value() { return (float(next() >> 40) * 0x1p-24f - 0.5f) * 3.4641016f; }

private:
  uint64_t state_;
};

/// Calls body(i) for i in [0, n) from all processors.
template <class Body> void parallelFor(int n, Body body) {
  const int threads = std::max(1, std::min(n, int(std::thread::hardware_concurrency())));
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([=] {
      for (int i = t; i < n; i += threads)
        body(i);
    });
  for (std::thread &thread : pool)
    thread.join();
}

/// Relative L2 error: of everything, and of the worst row of `row` numbers. NaN and infinity in
/// `got` count as infinite.
struct Error {
  double all = 0, worst = 0;
};
inline Error relativeError(const std::vector<float> &got, const std::vector<double> &want,
                           int row) {
  Error e;
  double wrong = 0, norm = 0;
  for (size_t first = 0; first < want.size(); first += size_t(row)) {
    double w = 0, n = 0;
    for (size_t i = first; i < first + size_t(row); ++i) {
      const double d = double(got[i]) - want[i];
      w += d * d;
      n += want[i] * want[i];
    }
    wrong += w;
    norm += n;
    const double r = std::sqrt(w / std::max(n, 1e-60));
    e.worst = std::isfinite(r) ? std::max(e.worst, r) : INFINITY;
  }
  e.all = std::sqrt(wrong / std::max(norm, 1e-60));
  if (!std::isfinite(e.all))
    e.all = INFINITY;
  return e;
}

} // namespace sinter::test
