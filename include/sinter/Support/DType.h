//===- DType.h - element types of tensors and caches ------------*- C++ -*-===//
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sinter {

/// The values are stored in artefacts: never renumber.
enum class DType : uint32_t { F32 = 0, BF16 = 1, F16 = 2, I32 = 3 };

inline size_t dtypeBytes(DType t) { return t == DType::BF16 || t == DType::F16 ? 2 : 4; }

/// "f32", "bf16", "f16", "i32": the spelling of flags, IR and meta.
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
  }
  return "?";
}

inline std::optional<DType> parseDType(std::string_view s) {
  for (DType t : {DType::F32, DType::BF16, DType::F16, DType::I32})
    if (dtypeName(t) == s)
      return t;
  return std::nullopt;
}

} // namespace sinter
