//===- MappedFile.cpp - a file open for reading ---------------------------===//
#include "sinter/Support/MappedFile.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

using namespace sinter;

namespace {
Status openError(const std::string &path, int error) {
  std::string text = path + ": cannot open: " + std::strerror(error);
  return error == ENOENT || error == ENOTDIR ? notFound(std::move(text))
                                             : unavailable(std::move(text));
}
} // namespace

Result<MappedFile> MappedFile::open(const std::string &path) {
  MappedFile file;
  file.path_ = path;
  // O_NONBLOCK: a FIFO in place of a file must be refused below, not waited for.
  file.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd_ < 0)
    return openError(path, errno);
  struct stat info;
  if (::fstat(file.fd_, &info) != 0)
    return openError(path, errno);
  if (!S_ISREG(info.st_mode))
    return invalidInput(path + ": not a regular file");
  file.size_ = static_cast<uint64_t>(info.st_size);
  if (file.size_ != 0) {
    void *map = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, file.fd_, 0);
    if (map == MAP_FAILED)
      return unavailable(path + ": cannot map: " + std::strerror(errno));
    file.data_ = static_cast<uint8_t *>(map);
  }
  return file;
}

MappedFile::MappedFile(MappedFile &&other) noexcept { *this = std::move(other); }

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  if (this == &other)
    return *this;
  close();
  path_ = std::move(other.path_);
  fd_ = std::exchange(other.fd_, -1);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

MappedFile::~MappedFile() { close(); }

void MappedFile::close() {
  if (data_)
    ::munmap(data_, size_);
  if (fd_ >= 0)
    ::close(fd_);
  data_ = nullptr;
  fd_ = -1;
}

Status MappedFile::read(uint64_t offset, size_t length, void *dst) const {
  if (offset > size_ || length > size_ - offset)
    return invalidArgument(path_ + ": read of bytes " + std::to_string(offset) + " to " +
                           std::to_string(offset + length) + " is outside the file's " +
                           std::to_string(size_) + " bytes");
  auto *out = static_cast<uint8_t *>(dst);
  while (length != 0) {
    ssize_t got = ::pread(fd_, out, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return unavailable(path_ + ": read failed at byte " + std::to_string(offset) + ": " +
                         std::strerror(errno));
    if (got == 0)
      return unavailable(path_ + ": the file shrank while it was in use: had " +
                         std::to_string(size_) + " bytes, now ends at or before byte " +
                         std::to_string(offset));
    out += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<size_t>(got);
  }
  return Status::ok();
}

void MappedFile::releasePages(uint64_t offset, uint64_t length) const {
  if (!data_ || offset >= size_)
    return;
  length = length > size_ - offset ? size_ - offset : length;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t begin = offset / page * page;
  // Advice only: a failure costs memory, never correctness.
  (void)::madvise(data_ + begin, offset + length - begin, MADV_DONTNEED);
}

std::string sinter::baseName(const std::string &path) {
  size_t end = path.find_last_not_of('/');
  if (end == std::string::npos)
    return path;
  size_t slash = path.rfind('/', end);
  size_t begin = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(begin, end + 1 - begin);
}

Result<std::string> sinter::readTextFile(const std::string &path, uint64_t limit) {
  SINTER_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  if (file.size() > limit)
    return invalidInput(path + ": " + std::to_string(file.size()) + " bytes, at most " +
                        std::to_string(limit) + " expected");
  std::string text(file.size(), '\0');
  SINTER_RETURN_IF_ERROR(file.read(0, text.size(), text.data()));
  return text;
}
