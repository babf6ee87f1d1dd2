//===- KeyFile.cpp --------------------------------------------------------===//
#include "runtime/cli/KeyFile.h"

#include "sinter/Support/MappedFile.h"

namespace sinter {

Result<std::string> readKeyFile(const std::string &path) {
  constexpr uint64_t kMaxBytes = 4096;
  SINTER_ASSIGN_OR_RETURN(std::string key, readTextFile(path, kMaxBytes));
  key.erase(key.find_last_not_of(" \r\n\t") + 1);
  if (key.empty())
    return invalidArgument(path + ": the key is empty");
  return key;
}

Status checkKey(const std::string &key, const std::string &where) {
  for (const char c : key)
    if (c <= ' ' || c > '~')
      return invalidArgument(where +
                             ": the key has a space or a character that no header can have");
  return Status::ok();
}

} // namespace sinter
