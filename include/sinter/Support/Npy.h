//===- Npy.h - two-dimensional arrays in NumPy's .npy format ----*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sinter {

/// Writes an f32 [rows, columns] array row by row. The rows go to a temporary file beside `path`;
/// close() writes the final row count and renames it, so a reader sees the whole array or none. A
/// writer destroyed before close() leaves nothing behind.
class NpyWriter {
public:
  static Result<NpyWriter> create(const std::string &path, size_t columns);

  NpyWriter(NpyWriter &&other) noexcept;
  NpyWriter &operator=(NpyWriter &&other) noexcept;
  NpyWriter(const NpyWriter &) = delete;
  NpyWriter &operator=(const NpyWriter &) = delete;
  ~NpyWriter();

  /// Appends `rows` rows of `columns` floats each.
  Status append(const float *data, size_t rows);
  Status close();

  size_t rows() const { return rows_; }

private:
  NpyWriter() = default;
  void discard();

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  size_t columns_ = 0;
  size_t rows_ = 0;
};

struct NpyArray {
  std::vector<size_t> shape;
  std::vector<float> data;
};

/// Reads a C-order little-endian f32 or f16 array of any rank, widened to f32.
Result<NpyArray> readNpy(const std::string &path);

} // namespace sinter
