//===- Session.cpp --------------------------------------------------------===//
#include "runtime/cli/Session.h"

#include "runtime/cli/Quantity.h"

#include <algorithm>

namespace sinter {
namespace {

Result<uint32_t> choosePages(const Manifest &manifest, const SessionOptions &options,
                             const CpuDevice &device) {
  uint64_t pages = pagesFor(manifest.kv, options.positions) * options.sequences;
  if (options.kvBytes) {
    pages = options.kvBytes / manifest.kv.pageBytes;
    if (pages == 0)
      return invalidArgument("--kv-memory " + formatBytes(double(options.kvBytes)) +
                             " is less than one page of " +
                             formatBytes(double(manifest.kv.pageBytes)));
  }
  constexpr uint64_t kMaxPages = uint64_t(1) << 27;
  if (pages > kMaxPages)
    return invalidArgument("the KV cache would have " + std::to_string(pages) +
                           " pages, more than " + std::to_string(kMaxPages));
  const uint64_t bytes = pages * manifest.kv.pageBytes, needed = bytes + manifest.weightBytes();
  if (const uint64_t free = device.freeMemory(); needed > free)
    return resourceExhausted("weights and a KV cache of " + formatBytes(double(bytes)) + " need " +
                             formatBytes(double(needed)) + ", " + formatBytes(double(free)) +
                             " are free: ask for a shorter context or less --kv-memory");
  return uint32_t(pages);
}

} // namespace

uint64_t pagesFor(const KvPlan &kv, uint64_t tokens) {
  return (std::max<uint64_t>(tokens, 1) + kv.pageSize - 1) / kv.pageSize;
}

Result<Session> openSession(ArtifactFile file, const SessionOptions &options) {
  Session session;
  SINTER_ASSIGN_OR_RETURN(session.device, CpuDevice::create(options.cpu));
  CpuDevice &device = *session.device;
  SINTER_ASSIGN_OR_RETURN(session.artifact,
                          Artifact::load(std::move(file), device.target(), device.isa()));
  const Manifest &manifest = session.manifest();
  SINTER_ASSIGN_OR_RETURN(const uint32_t pages, choosePages(manifest, options, device));
  WeightOptions weights = options.weights;
  weights.positions = std::min(manifest.model.maxPosition, pages * manifest.kv.pageSize);
  SINTER_ASSIGN_OR_RETURN(session.weights, loadWeights(manifest, device, weights));
  ExecutorOptions executor;
  executor.numPages = pages;
  executor.poison = options.poison;
  const ModelView view = {&manifest, session.artifact->step(), session.weights.pointers,
                          session.weights.positions};
  SINTER_ASSIGN_OR_RETURN(session.executor, Executor::create(view, device, executor));
  return session;
}

} // namespace sinter
