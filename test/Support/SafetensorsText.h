//===- SafetensorsText.h - safetensors files for tests ----------*- C++ -*-===//
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sinter::testing {

/// The bytes of a file with this header text and so many bytes of data.
inline std::string safetensorsFile(const std::string &header, size_t dataBytes) {
  std::string out;
  for (int i = 0; i < 8; ++i)
    out += char(uint64_t(header.size()) >> (8 * i));
  out += header;
  for (size_t i = 0; i < dataBytes; ++i)
    out += char(i % 251);
  return out;
}

struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  std::string dtype = "BF16"; ///< or F16, F32
};

/// A well-formed file holding these tensors in this order.
inline std::string safetensorsFile(const std::vector<TensorSpec> &tensors) {
  std::string header = "{";
  size_t offset = 0;
  for (const TensorSpec &tensor : tensors) {
    size_t bytes = tensor.dtype == "F32" || tensor.dtype == "I32" ? 4 : 2;
    std::string shape;
    for (int64_t extent : tensor.shape) {
      bytes *= size_t(extent);
      shape += (shape.empty() ? "" : ",") + std::to_string(extent);
    }
    header += (header.size() > 1 ? ",\"" : "\"") + tensor.name + "\":{\"dtype\":\"" + tensor.dtype +
              "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(offset) + "," +
              std::to_string(offset + bytes) + "]}";
    offset += bytes;
  }
  return safetensorsFile(header + "}", offset);
}

} // namespace sinter::testing
