//===- ArtifactFuzzer.cpp - any bytes as a compiled model -----------------===//
//
// An input that starts with '{' is the metadata alone, which in a whole file only inputs with the
// right digest would reach. Any other input is a file.
//
//===----------------------------------------------------------------------===//
#include "runtime/model/Artifact.h"
#include "runtime/model/ElfReader.h"
#include "runtime/model/ManifestParser.h"
#include "test/fuzz/FuzzCheck.h"
#include "test/fuzz/JsonMutator.h"

using namespace sinter;

namespace {

/// What the loader and the engine rely on without looking again.
void checkManifest(const Manifest &manifest) {
  for (const WeightPlan &weight : manifest.weights) {
    long double elements = 1;
    for (uint64_t extent : weight.shape)
      elements *= static_cast<long double>(extent);
    FUZZ_CHECK(elements * 4 < 1e19L);
    if (weight.kind == WeightKind::Linear)
      FUZZ_CHECK(weight.bytes == tiledBytes(weight) &&
                 static_cast<long double>(weight.bytes) >= elements * dtypeBytes(weight.dtype));
    else
      FUZZ_CHECK(weight.bytes == (weight.kind == WeightKind::KScale ? 4 : uint64_t(elements) * 4));
    for (const WeightSource &source : weight.sources)
      FUZZ_CHECK(source.rowBegin < source.rowEnd && source.rowEnd <= uint64_t(source.shape[0]));
  }
  const KvPlan &kv = manifest.kv;
  FUZZ_CHECK(kv.layers > 0 && kv.pageSize > 0 && kv.pageBytes > 0);
  FUZZ_CHECK(kv.pageBytes >= kv.tokenBytes() * kv.pageSize);
  for (const EntryPlan &entry : manifest.entries) {
    FUZZ_CHECK(entry.minTokens > 0 && entry.minTokens <= entry.maxTokens);
    for (const OpPlan &op : entry.schedule)
      FUZZ_CHECK(op.kernel < manifest.kernels.size());
    for (const BufferPlan &buffer : entry.buffers)
      FUZZ_CHECK(buffer.offset + buffer.bytes <= manifest.arenaBytes);
  }
}

void checkMeta(std::string_view text) {
  const auto manifest = parseManifest(text);
  if (!manifest)
    return fuzz::checkRefusal(manifest.status());
  checkManifest(*manifest);
}

void checkFile(std::span<const uint8_t> file) {
  const auto elf = readElf(file);
  if (!elf)
    return fuzz::checkRefusal(elf.status());
  for (const ElfSection &section : elf->sections) {
    FUZZ_CHECK(section.offset <= file.size() && section.size <= file.size() - section.offset);
    FUZZ_CHECK(section.name.size() < file.size());
  }
  const auto sections = readArtifact(file);
  if (!sections)
    return fuzz::checkRefusal(sections.status());
  checkMeta(sections->meta);
}

} // namespace

SINTER_FUZZ_JSON(0)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 0 && data[0] == '{')
    checkMeta({reinterpret_cast<const char *>(data), size});
  else
    checkFile({data, size});
  return 0;
}
