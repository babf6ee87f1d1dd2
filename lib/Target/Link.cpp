//===- Link.cpp - lld in this process -------------------------------------===//
//
// lld reads and writes files by name: they lie in a private directory that is gone afterwards.
//
//===----------------------------------------------------------------------===//
#include "Link.h"

#include "lld/Common/Driver.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

using namespace sinter;

namespace {

class PrivateDirectory {
public:
  PrivateDirectory() { error = llvm::sys::fs::createUniqueDirectory("sinter-link", path); }
  ~PrivateDirectory() {
    if (!error)
      llvm::sys::fs::remove_directories(path);
  }
  PrivateDirectory(const PrivateDirectory &) = delete;
  PrivateDirectory &operator=(const PrivateDirectory &) = delete;

  std::string file(const llvm::Twine &name) const { return (path + "/" + name).str(); }

  std::error_code error;
  llvm::SmallString<128> path;
};

Status writeFile(const std::string &path, llvm::StringRef bytes) {
  std::error_code error;
  llvm::raw_fd_ostream stream(path, error);
  if (!error) {
    stream << bytes;
    stream.close();
    error = stream.error();
    stream.clear_error();
  }
  return error ? resourceExhausted(path + ": " + error.message()) : Status::ok();
}

Status runLinker(llvm::ArrayRef<std::string> arguments) {
  std::vector<const char *> pointers;
  for (const std::string &argument : arguments)
    pointers.push_back(argument.c_str());
  std::string out, errors;
  llvm::raw_string_ostream outStream(out), errorStream(errors);
  const lld::Result result =
      lld::lldMain(pointers, outStream, errorStream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode == 0)
    return Status::ok();
  return internalError("the linker refused the kernels: " +
                       llvm::StringRef(errors).split('\n').first.str());
}

} // namespace

Result<std::string> sinter::linkSharedObject(llvm::ArrayRef<llvm::StringRef> objects) {
  PrivateDirectory directory;
  if (directory.error)
    return resourceExhausted("no temporary directory: " + directory.error.message());
  const std::string output = directory.file("linked.so");
  std::vector<std::string> arguments = {"ld.lld",
                                        "-shared",
                                        "-z",
                                        "defs",
                                        "--no-undefined",
                                        "--gc-sections",
                                        "--build-id=none",
                                        "--hash-style=gnu",
                                        "-z",
                                        "now",
                                        "--threads=1",
                                        "-o",
                                        output};
  for (auto [index, object] : llvm::enumerate(objects)) {
    arguments.push_back(directory.file(llvm::Twine(index) + ".o"));
    SINTER_RETURN_IF_ERROR(writeFile(arguments.back(), object));
  }
  SINTER_RETURN_IF_ERROR(runLinker(arguments));
  auto linked = llvm::MemoryBuffer::getFile(output, false, false);
  if (!linked)
    return resourceExhausted(output + ": " + linked.getError().message());
  return (*linked)->getBuffer().str();
}
