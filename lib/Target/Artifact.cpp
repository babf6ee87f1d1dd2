//===- Artifact.cpp - one file that holds a compiled model ----------------===//
#include "sinter/Target/Artifact.h"

#include "BuildId.h"
#include "Link.h"
#include "StepObject.h"
#include "sinter/Support/Sha256.h"
#include "sinter/Target/HostObject.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/Object/ELFObjectFile.h"

using namespace mlir;
using namespace sinter;

const char *sinter::compilerVersion() { return SINTER_VERSION; }
const char *sinter::compilerBuild() { return SINTER_BUILD_ID; }

namespace {

/// Where the digest lies in the file.
std::optional<size_t> findDigest(llvm::StringRef file) {
  auto elf = llvm::object::ELF64LEFile::create(file);
  if (!elf)
    return llvm::consumeError(elf.takeError()), std::nullopt;
  auto sections = elf->sections();
  if (!sections)
    return llvm::consumeError(sections.takeError()), std::nullopt;
  for (const auto &section : *sections) {
    auto name = elf->getSectionName(section);
    if (!name)
      return llvm::consumeError(name.takeError()), std::nullopt;
    if (*name == SINTER_SECTION_DIGEST && section.sh_size == sizeof(Sha256Digest))
      return section.sh_offset;
  }
  return std::nullopt;
}

LogicalResult sign(Location loc, std::string &file) {
  const std::optional<size_t> offset = findDigest(file);
  if (!offset)
    return emitError(loc, "the linked file has no digest section");
  const Sha256Digest digest = Sha256::of(file.data(), file.size());
  std::copy(digest.begin(), digest.end(), file.begin() + *offset);
  return success();
}

/// What is the same for every target: the table, the sections, the file.
FailureOr<std::string> write(ModuleOp planned, const StepProgram &program, ArrayRef<CpuIsa> isas,
                             const DeviceImage *image, const ArtifactInfo &info,
                             ArrayRef<ObjectBytes> objects) {
  const Location loc = planned.getLoc();
  if (failed(checkProgram(loc, program)))
    return failure();
  FailureOr<std::string> meta = writeMeta(planned, program, isas, image, info);
  if (failed(meta))
    return failure();
  const std::string schedule = writeSchedule(program);
  const std::string digest(sizeof(Sha256Digest), '\0');
  SmallVector<Section> sections = {{SINTER_SECTION_META, *meta},
                                   {SINTER_SECTION_SCHEDULE, schedule},
                                   {SINTER_SECTION_DIGEST, digest}};
  if (!info.tokenizer.empty())
    sections.push_back({SINTER_SECTION_TOKENIZER, info.tokenizer});
  if (!info.chatTemplate.empty())
    sections.push_back({SINTER_SECTION_CHAT, info.chatTemplate});
  std::string ptx, cubin;
  for (const DeviceModule &module : image ? ArrayRef(image->modules) : ArrayRef<DeviceModule>()) {
    ptx.append(module.ptx).push_back('\0');
    cubin += module.cubin;
  }
  if (!ptx.empty())
    sections.push_back({SINTER_SECTION_PTX, ptx});
  if (!cubin.empty())
    sections.push_back({SINTER_SECTION_CUBIN, cubin});
  FailureOr<ObjectBytes> table = emitTableObject(loc, program, sections);
  if (failed(table))
    return failure();
  SmallVector<StringRef> inputs = {stepObject(), StringRef(table->data(), table->size())};
  for (const ObjectBytes &object : objects)
    inputs.emplace_back(object.data(), object.size());
  Result<std::string> linked = linkSharedObject(inputs);
  if (!linked)
    return emitError(loc, linked.status().message());
  std::string file = *std::move(linked);
  if (failed(sign(loc, file)))
    return failure();
  return file;
}

} // namespace

FailureOr<std::string> sinter::writeArtifact(ModuleOp planned, ModuleOp kernels,
                                             const StepProgram &program, ArrayRef<CpuIsa> isas,
                                             const ArtifactInfo &info) {
  if (failed(checkProgram(planned.getLoc(), program)))
    return failure();
  FailureOr<std::vector<ObjectBytes>> objects = emitKernelObjects(kernels, program, isas);
  if (failed(objects))
    return failure();
  return write(planned, program, isas, nullptr, info, *objects);
}

FailureOr<std::string> sinter::writeArtifact(ModuleOp planned, const StepProgram &program,
                                             const DeviceImage &image, const ArtifactInfo &info) {
  return write(planned, program, {}, &image, info, {});
}
