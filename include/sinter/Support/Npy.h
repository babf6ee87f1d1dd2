//===- Npy.h - two-dimensional arrays in NumPy's .npy format ----*- C++ -*-===//
#pragma once

#include "sinter/Support/OutputFile.h"
#include "sinter/Support/Status.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sinter {

/// Writes an f32 [rows, columns] array row by row. close() writes the final row count and gives the
/// file its name, so a reader sees the whole array or none (see OutputFile).
class NpyWriter {
public:
  static Result<NpyWriter> create(const std::string &path, size_t columns);

  /// Appends `rows` rows of `columns` floats each.
  Status append(const float *data, size_t rows);
  Status close();

  size_t rows() const { return rows_; }

private:
  NpyWriter(OutputFile file, size_t columns) : file_(std::move(file)), columns_(columns) {}

  OutputFile file_;
  size_t columns_;
  size_t rows_ = 0;
};

struct NpyArray {
  std::vector<size_t> shape;
  std::vector<float> data;
};

/// Reads a C-order little-endian f32 or f16 array of any rank, widened to f32.
Result<NpyArray> readNpy(const std::string &path);

} // namespace sinter
