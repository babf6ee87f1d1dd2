//===- DType.h - element types of tensors and caches ------------*- C++ -*-===//
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sinter {

/// The values are stored in artefacts: never renumber.
/// E4M3 (no infinities, largest number 448) and E5M2 (57344) are types of caches only.
enum class DType : uint32_t { F32 = 0, BF16 = 1, F16 = 2, I32 = 3, E4M3 = 4, E5M2 = 5 };

inline bool isFp8(DType t) { return t == DType::E4M3 || t == DType::E5M2; }
/// What activations and weights may be.
inline bool isActivationType(DType t) { return t != DType::I32 && !isFp8(t); }

inline size_t dtypeBytes(DType t) {
  return isFp8(t) ? 1 : t == DType::BF16 || t == DType::F16 ? 2 : 4;
}

/// "f32", "bf16", "f16", "i32", "fp8_e4m3", "fp8_e5m2": the spelling of flags, kernels and meta.
inline std::string_view dtypeName(DType t) {
  switch (t) {
  case DType::F32:
    return "f32";
  case DType::BF16:
    return "bf16";
  case DType::F16:
    return "f16";
  case DType::I32:
    return "i32";
  case DType::E4M3:
    return "fp8_e4m3";
  case DType::E5M2:
    return "fp8_e5m2";
  }
  return "?";
}

inline std::optional<DType> parseDType(std::string_view s) {
  for (DType t : {DType::F32, DType::BF16, DType::F16, DType::I32, DType::E4M3, DType::E5M2})
    if (dtypeName(t) == s)
      return t;
  return std::nullopt;
}

} // namespace sinter
