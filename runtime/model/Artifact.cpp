//===- Artifact.cpp -------------------------------------------------------===//
#include "runtime/model/Artifact.h"

#include "runtime/model/ElfReader.h"
#include "runtime/model/ManifestParser.h"
#include "sinter/Support/CpuIsa.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"
#include "sinter/Support/Sha256.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace sinter {
namespace {

constexpr uint64_t kMaxArtifact = uint64_t(1) << 30;

std::string systemError() { return std::strerror(errno); }

/// A file descriptor closed at the end of a scope.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
};

Sha256Digest digestWithZeroedSection(std::span<const uint8_t> file, const ElfSection &digest) {
  const uint8_t zeros[32] = {};
  Sha256 hash;
  hash.update(file.data(), digest.offset);
  hash.update(zeros, sizeof zeros);
  const uint64_t end = digest.offset + digest.size;
  hash.update(file.data() + end, file.size() - end);
  return hash.finish();
}

int createMemoryFile() {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
#ifdef MFD_EXEC
  // Newer kernels may be set to refuse executable memory files unless asked for.
  if (const int fd = memfd_create("sinter-artifact", flags | MFD_EXEC); fd >= 0)
    return fd;
#endif
  return memfd_create("sinter-artifact", flags);
}

/// The modules of the metadata must lie in the sections that hold their code.
Status checkModules(const Manifest &manifest, const ArtifactSections &sections) {
  auto inside = [](uint64_t offset, uint64_t bytes, std::string_view section) {
    return offset <= section.size() && bytes <= section.size() - offset;
  };
  for (size_t i = 0; i < manifest.modules.size(); ++i) {
    const ModulePlan &module = manifest.modules[i];
    const std::string where =
        std::string(SINTER_SECTION_META) + ": modules[" + std::to_string(i) + "]: ";
    if (!inside(module.cubinOffset, module.cubinBytes, sections.cubin))
      return invalidInput(where + "\"cubin\": lies outside " SINTER_SECTION_CUBIN);
    if (!inside(module.ptxOffset, module.ptxBytes, sections.ptx))
      return invalidInput(where + "\"ptx\": lies outside " SINTER_SECTION_PTX);
    if (module.ptxBytes == 0 || sections.ptx[module.ptxOffset + module.ptxBytes - 1] != 0)
      return invalidInput(where + "\"ptx\": is not a text with a NUL at its end");
  }
  return Status::ok();
}

} // namespace

Result<ArtifactSections> readArtifact(std::span<const uint8_t> file) {
  SINTER_ASSIGN_OR_RETURN(const ElfFile elf, readElf(file));
  const ElfSection *digest = elf.find(SINTER_SECTION_DIGEST);
  const ElfSection *meta = elf.find(SINTER_SECTION_META);
  if (!digest || !meta)
    return invalidInput("not a compiled model (a shared object without " +
                        std::string(digest ? SINTER_SECTION_META : SINTER_SECTION_DIGEST) + ")");
  Sha256Digest stored;
  if (digest->size != stored.size())
    return invalidInput("damaged or truncated: the digest has " + std::to_string(digest->size) +
                        " bytes");
  std::memcpy(stored.data(), file.data() + digest->offset, stored.size());
  if (digestWithZeroedSection(file, *digest) != stored)
    return invalidInput("damaged: its SHA-256 is not the recorded one");

  auto text = [&](const char *name) -> std::string_view {
    const ElfSection *section = elf.find(name);
    if (!section)
      return {};
    return {reinterpret_cast<const char *>(file.data()) + section->offset, section->size};
  };
  ArtifactSections sections;
  sections.meta = text(SINTER_SECTION_META);
  sections.schedule = text(SINTER_SECTION_SCHEDULE);
  sections.tokenizer = text(SINTER_SECTION_TOKENIZER);
  sections.chatTemplate = text(SINTER_SECTION_CHAT);
  sections.ptx = text(SINTER_SECTION_PTX);
  sections.cubin = text(SINTER_SECTION_CUBIN);
  sections.digest = toHex(stored);
  sections.codeBytes = text(".text").size();
  return sections;
}

ArtifactFile::ArtifactFile(ArtifactFile &&other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)), size_(other.size_),
      sections_(std::move(other.sections_)), manifest_(std::move(other.manifest_)) {}

ArtifactFile::~ArtifactFile() {
  if (data_)
    munmap(const_cast<uint8_t *>(data_), size_);
  if (fd_ >= 0)
    ::close(fd_);
}

Status ArtifactFile::copyFrom(int source) {
  fd_ = createMemoryFile();
  if (fd_ < 0)
    return resourceExhausted("cannot create a memory file: " + systemError());
  std::vector<uint8_t> buffer(size_t(1) << 20);
  for (;;) {
    const ssize_t got = ::read(source, buffer.data(), buffer.size());
    if (got == 0)
      break;
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return unavailable("cannot read: " + systemError());
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = ::write(fd_, buffer.data() + done, size_t(got - done));
      if (put < 0 && errno == EINTR)
        continue;
      if (put < 0)
        return resourceExhausted("cannot copy to memory: " + systemError());
      done += put;
    }
    size_ += uint64_t(got);
    if (size_ > kMaxArtifact)
      return invalidInput("not a compiled model (larger than 1 GiB)");
  }
  if (fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    return internalError("cannot seal the private copy: " + systemError());
  if (size_ == 0)
    return invalidInput("not a compiled model (empty file)");
  void *data = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd_, 0);
  if (data == MAP_FAILED)
    return resourceExhausted("cannot map the private copy: " + systemError());
  data_ = static_cast<const uint8_t *>(data);
  return Status::ok();
}

Status ArtifactFile::verify() {
  SINTER_ASSIGN_OR_RETURN(sections_, readArtifact({data_, size_}));
  SINTER_ASSIGN_OR_RETURN(manifest_, parseManifest(sections_.meta));
  return checkModules(manifest_, sections_);
}

Result<ArtifactFile> ArtifactFile::open(const std::string &path) {
  ArtifactFile artifact;
  artifact.path_ = path;
  const Descriptor source = {::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (source.fd < 0)
    return (errno == ENOENT ? notFound(path + ": no such file")
                            : unavailable(path + ": cannot open: " + systemError()));
  struct stat info = {};
  if (fstat(source.fd, &info) != 0 || !S_ISREG(info.st_mode))
    return invalidInput(path + ": not a regular file");
  if (Status status = artifact.copyFrom(source.fd); !status)
    return status.withContext(path);
  if (Status status = artifact.verify(); !status)
    return status.withContext(path);
  return artifact;
}

uint32_t isaOf(const Manifest &manifest, uint32_t isa) {
  const std::vector<std::string> &isas = manifest.isas;
  const auto hasKernels = [&](uint32_t level) {
    return std::any_of(manifest.kernels.begin(), manifest.kernels.end(), [&](const KernelPlan &k) {
      return std::find(k.isas.begin(), k.isas.end(), level) != k.isas.end();
    });
  };
  for (; isa >= kIsaV3; --isa)
    if (std::find(isas.begin(), isas.end(), cpuIsaName(isa)) != isas.end() && hasKernels(isa))
      return isa;
  return 0;
}

Result<std::unique_ptr<Artifact>> Artifact::load(ArtifactFile file, const std::string &target,
                                                 uint32_t isa) {
  std::unique_ptr<Artifact> artifact(new Artifact(std::move(file)));
  const Manifest &manifest = artifact->manifest();
  const std::string &name = artifact->file().path();
  if (manifest.target != target)
    return unsupported(name + ": compiled for target " + quoteForMessage(manifest.target) +
                       ", this runs target " + target);
  // A GPU knows better what it can run.
  const bool runnable =
      manifest.isas.empty() || manifest.target != kCpuTarget || isaOf(manifest, isa) != 0;
  if (!runnable)
    return unsupported(name + ": has no code for " + cpuIsaName(isa) + " or below");

  // The descriptor stays open as long as the library: dlopen knows libraries by path, and this
  // path would otherwise name another file later.
  const std::string path = "/proc/self/fd/" + std::to_string(artifact->file().descriptor());
  artifact->handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!artifact->handle_)
    return unavailable(name + ": cannot load its code: " + dlerror());
  artifact->step_ = reinterpret_cast<SinterStepFn>(dlsym(artifact->handle_, SINTER_SYMBOL_STEP));
  if (!artifact->step_)
    return invalidInput(name + ": has no " SINTER_SYMBOL_STEP);
  return artifact;
}

Artifact::~Artifact() {
  if (handle_)
    dlclose(handle_);
}

} // namespace sinter
