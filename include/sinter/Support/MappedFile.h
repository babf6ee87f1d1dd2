//===- MappedFile.h - a file open for reading -------------------*- C++ -*-===//
//
// Two ways to the same bytes. data() is the mapping: free of copies, but a file that another
// process truncates turns a read into SIGBUS. read() is pread: one copy, and truncation is an
// error. Whatever runs while a user's files may change (the weight loader) uses read().
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace sinter {

class MappedFile {
public:
  /// Opens a regular file and maps it read-only. An empty file has data() == nullptr.
  static Result<MappedFile> open(const std::string &path);

  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept;
  MappedFile &operator=(MappedFile &&other) noexcept;
  MappedFile(const MappedFile &) = delete;
  MappedFile &operator=(const MappedFile &) = delete;
  ~MappedFile();

  const std::string &path() const { return path_; }
  const uint8_t *data() const { return data_; }
  /// The size at open(); read() reports a file that has become shorter since.
  uint64_t size() const { return size_; }

  /// Copies [offset, offset + length) to `dst`.
  Status read(uint64_t offset, size_t length, void *dst) const;

  /// Tells the kernel that the mapped pages of this range are no longer needed, so that they stop
  /// counting as resident. Touching them later reads them again.
  void releasePages(uint64_t offset, uint64_t length) const;

private:
  void close();

  std::string path_;
  int fd_ = -1;
  uint8_t *data_ = nullptr;
  uint64_t size_ = 0;
};

/// The part of a path after its last '/': how messages name a file of a model directory.
std::string baseName(const std::string &path);

/// The whole of a file that should be small; larger than `limit` bytes is refused.
Result<std::string> readTextFile(const std::string &path, uint64_t limit);

} // namespace sinter
