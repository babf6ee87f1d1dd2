//===- CacheFolder.cpp ----------------------------------------------------===//
#include "runtime/cli/CacheFolder.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace sinter {
namespace {

namespace fs = std::filesystem;

Status prepareFolder(const std::string &path) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return unavailable("cannot create " + path + ": " + std::strerror(errno));
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return unavailable(path + " is not a folder");
  if (info.st_uid != geteuid() || (info.st_mode & 077) != 0)
    return unavailable(path + " is not private to this user (mode 0700)");
  if (access(path.c_str(), W_OK | X_OK) != 0)
    return unavailable(path + " is not writable");
  return Status::ok();
}

} // namespace

Result<std::string> cacheFolder() {
  std::string base;
  if (const char *xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg == '/')
    base = xdg;
  else if (const char *home = std::getenv("HOME"); home && *home)
    base = std::string(home) + "/.cache";
  else
    return unavailable("neither XDG_CACHE_HOME nor HOME is set");
  const std::string folder = base + "/sinter";
  SINTER_RETURN_IF_ERROR(prepareFolder(folder));
  return folder;
}

} // namespace sinter
