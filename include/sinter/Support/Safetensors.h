//===- Safetensors.h - the checkpoint file format ---------------*- C++ -*-===//
//
// A safetensors file is a u64 header length (little endian), a JSON header {name: {dtype, shape,
// data_offsets}}, then the data. The header is accepted only when the tensors tile the data
// exactly: no holes, no overlap, nothing outside the file.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"
#include "sinter/Support/MappedFile.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sinter {

/// Headers above this are refused before a byte of them is parsed.
constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

struct SafetensorsTensor {
  std::string name;
  std::string dtypeName; ///< as spelled in the header: "BF16", "F8_E4M3", ...
  std::vector<int64_t> shape;
  uint64_t begin = 0; ///< [begin, end) in bytes from the start of the file
  uint64_t end = 0;

  uint64_t bytes() const { return end - begin; }
};

/// "[3072, 1024]", the spelling of shapes in messages.
std::string formatShape(const std::vector<int64_t> &shape);

struct SafetensorsHeader {
  std::string fileName;                   ///< as messages name the file
  std::vector<SafetensorsTensor> tensors; ///< in the order of their data
  std::map<std::string, std::string> metadata;
  std::string hash; ///< SHA-256 of the length field and the header text, hexadecimal
  uint64_t dataBegin = 0;
  uint64_t fileSize = 0;

  const SafetensorsTensor *find(std::string_view name) const;

private:
  friend struct SafetensorsParser;
  std::map<std::string, size_t, std::less<>> byName_;
};

/// Parses the header in `prefix`, the file's first bytes (at least the whole header must be there).
Result<SafetensorsHeader> parseSafetensorsHeader(std::string_view prefix, uint64_t fileSize,
                                                 const std::string &fileName);

/// F32, BF16, F16 or I32; any other element type of the format is refused, naming file and tensor.
Result<DType> usableDType(const SafetensorsTensor &tensor, const std::string &fileName);

class SafetensorsFile {
public:
  /// Opens a file and checks its whole header. Messages name the file without its folder.
  static Result<SafetensorsFile> open(const std::string &path);

  const SafetensorsHeader &header() const { return header_; }
  const MappedFile &file() const { return file_; }

  /// Copies `length` bytes from `offset` within the tensor. A file that shrank is an error.
  Status read(const SafetensorsTensor &tensor, uint64_t offset, size_t length, void *dst) const;

private:
  MappedFile file_;
  SafetensorsHeader header_;
};

} // namespace sinter
