//===- Sha256.h - SHA-256 (FIPS 180-4) --------------------------*- C++ -*-===//
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sinter {

using Sha256Digest = std::array<uint8_t, 32>;

/// Streaming SHA-256: update() any number of times, then finish() once.
class Sha256 {
public:
  Sha256();
  void update(const void *data, size_t size);
  Sha256Digest finish();

  static Sha256Digest of(const void *data, size_t size);

  /// The portable compression function; tests compare the accelerated one with it.
  static void compressPortable(uint32_t state[8], const uint8_t *blocks, size_t count);

private:
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> buffer_;
  size_t buffered_ = 0;
  uint64_t total_ = 0;
};

/// 64 lower-case hexadecimal digits.
std::string toHex(const Sha256Digest &digest);

} // namespace sinter
