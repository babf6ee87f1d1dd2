//===- OutputFile.h - a file that is whole or absent ------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sinter {

/// A file being written. The bytes go to a temporary file in the same folder, close() gives it its
/// name: whoever reads `path` sees the old file or the new one, and a file destroyed before close()
/// leaves nothing behind. A symbolic link stays one; what is no regular file (/dev/null, a pipe) is
/// written straight and never replaced.
class OutputFile {
public:
  static Result<OutputFile> create(const std::string &path);
  /// What create() would say now, for asking before long work. Leaves nothing behind, opens no
  /// pipe.
  static Status check(const std::string &path);

  OutputFile(OutputFile &&other) noexcept;
  OutputFile &operator=(OutputFile &&other) noexcept;
  ~OutputFile();

  Status write(const void *data, size_t size);
  /// Over bytes written before.
  Status writeAt(uint64_t offset, const void *data, size_t size);
  Status close();

private:
  OutputFile() = default;
  void discard();

  std::string path_;      ///< as the user named it
  std::string target_;    ///< with links followed
  std::string temporary_; ///< empty when written straight
  int fd_ = -1;
};

Status writeWholeFile(const std::string &path, std::string_view bytes);

} // namespace sinter
