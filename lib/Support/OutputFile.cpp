//===- OutputFile.cpp - a file that is whole or absent --------------------===//
#include "sinter/Support/OutputFile.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

using namespace sinter;

static Status systemError(const std::string &path, const char *action) {
  const int error = errno;
  std::string text = path + ": cannot " + action + ": " + std::strerror(error);
  return error == ENOSPC || error == EDQUOT ? resourceExhausted(std::move(text))
                                            : unavailable(std::move(text));
}

/// The file that `path` leads to, or `path` where there is none yet.
static std::string followLinks(const std::string &path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  return real ? std::string(real.get()) : path;
}

Result<OutputFile> OutputFile::create(const std::string &path) {
  OutputFile file;
  file.path_ = path;
  file.target_ = followLinks(path);
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    if (S_ISDIR(info.st_mode))
      return invalidArgument(path + ": is a directory");
    file.fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file.fd_ < 0)
      return systemError(path, "open");
    return file;
  }
  // Not mkstemp: an output file follows the user's umask like any other.
  const std::string folder = file.target_.substr(0, file.target_.rfind('/') + 1);
  static std::atomic<unsigned> counter{0};
  do {
    file.temporary_ =
        folder + ".sinter-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".tmp";
    file.fd_ = ::open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (file.fd_ < 0 && errno == EEXIST);
  if (file.fd_ < 0) {
    file.temporary_.clear();
    return systemError(path, "create");
  }
  return file;
}

Status OutputFile::check(const std::string &path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))
    return create(path).status();
  return ::access(path.c_str(), W_OK) == 0 ? Status::ok() : systemError(path, "open");
}

OutputFile::OutputFile(OutputFile &&other) noexcept { *this = std::move(other); }

OutputFile &OutputFile::operator=(OutputFile &&other) noexcept {
  if (this == &other)
    return *this;
  discard();
  path_ = std::move(other.path_);
  target_ = std::move(other.target_);
  temporary_ = std::exchange(other.temporary_, {});
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

OutputFile::~OutputFile() { discard(); }

void OutputFile::discard() {
  if (fd_ >= 0)
    ::close(fd_);
  if (!temporary_.empty())
    ::unlink(temporary_.c_str());
  fd_ = -1;
  temporary_.clear();
}

Status OutputFile::write(const void *data, size_t size) {
  if (fd_ < 0)
    return internalError(path_ + ": written after it was closed");
  for (const auto *bytes = static_cast<const char *>(data); size != 0;) {
    const ssize_t written = ::write(fd_, bytes, size);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return systemError(path_, "write");
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return Status::ok();
}

Status OutputFile::writeAt(uint64_t offset, const void *data, size_t size) {
  if (fd_ < 0)
    return internalError(path_ + ": written after it was closed");
  if (::lseek(fd_, static_cast<off_t>(offset), SEEK_SET) < 0)
    return systemError(path_, "seek");
  SINTER_RETURN_IF_ERROR(write(data, size));
  return ::lseek(fd_, 0, SEEK_END) < 0 ? systemError(path_, "seek") : Status::ok();
}

Status OutputFile::close() {
  if (fd_ < 0)
    return internalError(path_ + ": closed twice");
  if (::close(std::exchange(fd_, -1)) != 0)
    return systemError(path_, "write");
  if (temporary_.empty())
    return Status::ok();
  if (::rename(temporary_.c_str(), target_.c_str()) != 0)
    return systemError(path_, "rename to");
  temporary_.clear();
  return Status::ok();
}

Status sinter::writeWholeFile(const std::string &path, std::string_view bytes) {
  SINTER_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  SINTER_RETURN_IF_ERROR(file.write(bytes.data(), bytes.size()));
  return file.close();
}
