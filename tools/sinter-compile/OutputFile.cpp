//===- OutputFile.cpp - a file that is whole or absent --------------------===//
#include "OutputFile.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

using namespace sinter;

static Status systemError(const std::string &path) {
  const StatusCode code = errno == ENOSPC ? StatusCode::ResourceExhausted : StatusCode::NotFound;
  return {code, path + ": " + std::strerror(errno)};
}

static bool writeAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

Status sinter::writeFileAtomically(const std::string &path, std::string_view bytes) {
  struct stat info;
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
    return invalidArgument(path + ": is a directory");
  std::string temporary = path + ".XXXXXX";
  const int file = ::mkstemp(temporary.data());
  if (file < 0)
    return systemError(path);
  // mkstemp makes a private file; the result has the permissions of any other.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  bool ok = ::fchmod(file, 0666 & ~mask) == 0 && writeAll(file, bytes);
  ok = (::close(file) == 0) && ok;
  ok = ok && std::rename(temporary.c_str(), path.c_str()) == 0;
  if (ok)
    return Status::ok();
  const Status status = systemError(path);
  ::unlink(temporary.c_str());
  return status;
}
