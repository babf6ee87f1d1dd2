//===- Ptxas.cpp - PTX to cubin through NVIDIA's assembler ----------------===//
#include "sinter/Target/NvptxImage.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace sinter;

/// bin/ptxas of a toolkit.
static std::string ptxasOf(StringRef toolkit) {
  SmallString<128> path(toolkit);
  llvm::sys::path::append(path, "bin", "ptxas");
  return std::string(path);
}

std::optional<std::string> sinter::findPtxas() {
  const std::optional<std::string> named = llvm::sys::Process::GetEnv("SINTER_CUDA");
  if (named && !named->empty())
    return *named == "none" ? std::nullopt : std::optional(ptxasOf(*named));
  if (llvm::ErrorOr<std::string> inPath = llvm::sys::findProgramByName("ptxas"))
    return *inPath;
  SmallVector<std::string, 3> toolkits;
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"})
    if (std::optional<std::string> value = llvm::sys::Process::GetEnv(variable))
      toolkits.push_back(*value);
  toolkits.push_back("/usr/local/cuda");
  for (const std::string &toolkit : toolkits)
    if (std::string path = ptxasOf(toolkit); llvm::sys::fs::can_execute(path))
      return path;
  return std::nullopt;
}

/// The number before `unit` in "Used 40 registers, 512 bytes smem".
static int64_t numberBefore(StringRef line, StringRef unit) {
  const size_t at = line.find(unit);
  if (at == StringRef::npos)
    return 0;
  StringRef digits = line.take_front(at).rtrim();
  digits = digits.substr(digits.find_last_not_of("0123456789") + 1);
  int64_t value = 0;
  return digits.getAsInteger(10, value) ? 0 : value;
}

/// -v prints, per kernel: "Compiling entry function 'name'", "... bytes spill stores, ...", "Used
/// ...".
static std::vector<KernelResources> parseResources(StringRef report) {
  std::vector<KernelResources> kernels;
  for (StringRef line : llvm::split(report, '\n')) {
    if (const size_t at = line.find("Compiling entry function '"); at != StringRef::npos) {
      StringRef name = line.substr(at).split('\'').second;
      kernels.push_back({name.take_until([](char c) { return c == '\''; }).str()});
    }
    if (kernels.empty())
      continue;
    KernelResources &kernel = kernels.back();
    if (line.contains("spill stores"))
      kernel.spillBytes =
          numberBefore(line, "bytes spill stores") + numberBefore(line, "bytes spill loads");
    if (line.contains("Used ") && line.contains("registers")) {
      kernel.registers = numberBefore(line, "registers");
      kernel.sharedBytes = numberBefore(line, "bytes smem");
    }
  }
  return kernels;
}

static std::string firstComplaint(StringRef report) {
  for (StringRef line : llvm::split(report, '\n'))
    if (line.contains("error") || line.contains("fatal"))
      return line.trim().str();
  return report.take_until([](char c) { return c == '\n'; }).str();
}

FailureOr<Cubin> sinter::assemblePtx(Location loc, StringRef ptx, StringRef chip, StringRef ptxas) {
  SmallString<128> directory;
  if (std::error_code e = llvm::sys::fs::createUniqueDirectory("sinter-ptxas", directory))
    return emitError(loc, "cannot create a temporary directory: ") << e.message();
  llvm::scope_exit cleanup([&] { llvm::sys::fs::remove_directories(directory); });
  auto inside = [&](StringRef name) {
    SmallString<128> path(directory);
    llvm::sys::path::append(path, name);
    return path;
  };
  const SmallString<128> input = inside("kernels.ptx"), output = inside("kernels.cubin"),
                         log = inside("log");
  {
    std::error_code e;
    llvm::raw_fd_ostream file(input, e);
    file << ptx;
    file.close();
    if (e || file.has_error())
      return emitError(loc, "cannot write ") << input;
  }
  const std::string arch = ("-arch=" + chip).str();
  const StringRef args[] = {ptxas, "-v", "-O3", arch, "-o", output, input};
  const std::optional<StringRef> redirects[] = {StringRef(), log.str(), log.str()};
  std::string problem;
  const int status =
      llvm::sys::ExecuteAndWait(ptxas, args, std::nullopt, redirects, 0, 0, &problem);
  auto report = llvm::MemoryBuffer::getFile(log);
  const StringRef text = report ? (*report)->getBuffer() : StringRef();
  if (status != 0)
    return emitError(loc) << ptxas << ": " << (problem.empty() ? firstComplaint(text) : problem);
  auto bytes = llvm::MemoryBuffer::getFile(output);
  if (!bytes)
    return emitError(loc) << ptxas << " left no cubin: " << bytes.getError().message();
  return Cubin{(*bytes)->getBuffer().str(), parseResources(text)};
}
