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

} // namespace sinter
