//===- KernelCache.cpp - compiled GPU kernels between runs ----------------===//
//
// A file: magic, five u64 (bytes of PTX, bytes of cubin, registers, shared memory, spills), PTX,
// cubin, SHA-256 of all that.
//
//===----------------------------------------------------------------------===//
#include "KernelCache.h"

#include "sinter/Support/OutputFile.h"
#include "sinter/Support/Sha256.h"

#include "llvm/Support/MemoryBuffer.h"

#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

using namespace sinter;

namespace {

constexpr char kMagic[8] = {'s', 'i', 'n', 't', 'e', 'r', 'k', '1'};

struct Header {
  char magic[8];
  uint64_t ptx, cubin, registers, sharedBytes, spillBytes;
};

bool isPrivate(const std::string &path, mode_t kind) {
  struct stat info = {};
  return lstat(path.c_str(), &info) == 0 && (info.st_mode & S_IFMT) == kind &&
         info.st_uid == geteuid() && (info.st_mode & 022) == 0;
}

} // namespace

KernelCache::KernelCache(std::string path) : folder(std::move(path)) {
  if (folder.empty())
    return;
  mkdir(folder.c_str(), 0700);
  if (!isPrivate(folder, S_IFDIR))
    folder.clear();
}

std::string KernelCache::keyOf(const std::string &text) {
  return toHex(Sha256::of(text.data(), text.size()));
}

std::optional<CachedKernel> KernelCache::find(const std::string &key) const {
  const std::string path = folder + "/" + key;
  if (folder.empty() || !isPrivate(path, S_IFREG))
    return std::nullopt;
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return std::nullopt;
  const llvm::StringRef bytes = (*file)->getBuffer();
  Header header;
  if (bytes.size() < sizeof header + sizeof(Sha256Digest))
    return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  const size_t body = bytes.size() - sizeof(Sha256Digest);
  const Sha256Digest digest = Sha256::of(bytes.data(), body);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 ||
      std::memcmp(digest.data(), bytes.data() + body, digest.size()) != 0 ||
      sizeof header + header.ptx + header.cubin != body)
    return std::nullopt;
  const llvm::StringRef content = bytes.substr(sizeof header);
  return CachedKernel{
      content.substr(0, header.ptx).str(),
      content.substr(header.ptx, header.cubin).str(),
      {{}, int64_t(header.registers), int64_t(header.sharedBytes), int64_t(header.spillBytes)}};
}

void KernelCache::store(const std::string &key, const CachedKernel &kernel) const {
  if (folder.empty())
    return;
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.ptx = kernel.ptx.size();
  header.cubin = kernel.cubin.size();
  header.registers = uint64_t(kernel.resources.registers);
  header.sharedBytes = uint64_t(kernel.resources.sharedBytes);
  header.spillBytes = uint64_t(kernel.resources.spillBytes);
  std::string bytes(reinterpret_cast<const char *>(&header), sizeof header);
  bytes += kernel.ptx;
  bytes += kernel.cubin;
  const Sha256Digest digest = Sha256::of(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char *>(digest.data()), digest.size());
  // A cache: what cannot be written is made again.
  (void)writeWholeFile(folder + "/" + key, bytes).isOk();
}
