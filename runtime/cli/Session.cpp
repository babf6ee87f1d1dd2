//===- Session.cpp --------------------------------------------------------===//
#include "runtime/cli/Session.h"

#include "runtime/cli/Quantity.h"
#include "sinter/Support/MappedFile.h"

#include <algorithm>

namespace sinter {
namespace {

/// GPU memory that is left for graphs, results and the driver.
constexpr uint64_t kGpuReserve = uint64_t(512) << 20;

/// What a model takes of its device's memory.
struct MemoryNeed {
  uint64_t weights = 0;
  uint64_t plan = 0; ///< activations
  uint64_t pages = 0;
  uint64_t reserve = 0;

  uint64_t total() const { return weights + plan + pages + reserve; }
  std::string text() const {
    return "weights of " + formatBytes(double(weights)) + ", activations of " +
           formatBytes(double(plan)) + " and a KV cache of " + formatBytes(double(pages));
  }
};

MemoryNeed needOf(const Manifest &manifest, const Device &device, uint64_t pages) {
  const uint64_t reserve = device.hasHostMemory() ? 0 : kGpuReserve;
  return {manifest.weightBytes(), manifest.arenaBytes, pages * manifest.kv.pageBytes, reserve};
}

Status notEnough(const MemoryNeed &need, uint64_t free, const Device &device) {
  const std::string more = ": ask for a shorter context or less --kv-memory";
  if (device.hasHostMemory())
    return resourceExhausted("weights and a KV cache of " + formatBytes(double(need.pages)) +
                             " need " + formatBytes(double(need.pages + need.weights)) + ", " +
                             formatBytes(double(free)) + " are free" + more);
  return resourceExhausted("out of GPU memory: " + need.text() + " need " +
                           formatBytes(double(need.total())) + " with a reserve, " +
                           formatBytes(double(free)) + " are free" + more);
}

/// Pages that fit beside everything else into `free` bytes.
uint64_t pagesThatFit(MemoryNeed need, const Manifest &manifest, uint64_t free) {
  need.pages = 0;
  return free > need.total() ? (free - need.total()) / manifest.kv.pageBytes : 0;
}

void saySmaller(const SessionOptions &options, const Manifest &manifest, uint64_t wanted,
                uint64_t pages) {
  if (options.say)
    options.say("GPU memory is short: the KV cache holds " +
                std::to_string(pages * manifest.kv.pageSize) + " tokens instead of " +
                std::to_string(wanted * manifest.kv.pageSize));
}

Result<uint32_t> choosePages(const Manifest &manifest, const SessionOptions &options,
                             const Device &device) {
  uint64_t pages = pagesFor(manifest, options.positions) * options.sequences;
  if (options.kvBytes) {
    pages = options.kvBytes / manifest.kv.pageBytes;
    if (pages == 0)
      return invalidArgument("--kv-memory " + formatBytes(double(options.kvBytes)) +
                             " is less than one page of " +
                             formatBytes(double(manifest.kv.pageBytes)));
  }
  const uint64_t free = device.freeMemory();
  if (!options.kvBytes && !device.hasHostMemory() && options.kvShare < 1) {
    const uint64_t all = pagesThatFit(needOf(manifest, device, 0), manifest, free);
    pages = std::clamp<uint64_t>(uint64_t(options.kvShare * double(all)), 1, pages);
  }
  constexpr uint64_t kMaxPages = uint64_t(1) << 27;
  if (pages > kMaxPages)
    return invalidArgument("the KV cache would have " + std::to_string(pages) +
                           " pages, more than " + std::to_string(kMaxPages));
  const MemoryNeed need = needOf(manifest, device, pages);
  const bool fits =
      device.hasHostMemory() ? need.pages + need.weights <= free : need.total() <= free;
  if (fits)
    return uint32_t(pages);
  const uint64_t fewer = pagesThatFit(need, manifest, free);
  if (device.hasHostMemory() || options.kvBytes || fewer == 0)
    return notEnough(need, free, device);
  saySmaller(options, manifest, pages, fewer);
  return uint32_t(fewer);
}

Status openDevice(const ArtifactFile &file, const SessionOptions &options, Session &session) {
  const Manifest &manifest = file.manifest();
  const std::string &name = file.path();
  if (manifest.target == kCudaTarget) {
    if (options.cpu.isa || !options.cpu.dataParallel)
      return invalidArgument("--isa and --no-data-parallel are for CPUs, " + name +
                             " is compiled for cuda");
    CudaOptions cuda = options.cuda;
    cuda.say = options.say;
    cuda.device = options.device.value_or(0);
    Result<std::unique_ptr<CudaDevice>> device = CudaDevice::create(cuda);
    if (!device)
      return device.status().withContext(name + ": compiled for NVIDIA GPUs");
    session.cuda = device->get();
    session.device = *std::move(device);
    return Status::ok();
  }
  const CudaOptions &cuda = options.cuda;
  if (options.device || !cuda.graphs || !cuda.programmaticLaunch || cuda.syncLaunches)
    return invalidArgument("--device, --no-graph, --no-pdl and --debug sync are for GPUs, " + name +
                           " is compiled for " + manifest.target);
  SINTER_ASSIGN_OR_RETURN(std::unique_ptr<CpuDevice> device, CpuDevice::create(options.cpu));
  if (const uint32_t isa = isaOf(manifest, device->isa())) // what is reported is what runs
    device->useAtMost(isa);
  session.cpu = device.get();
  session.device = std::move(device);
  return Status::ok();
}

/// What the model was to get, for an allocation that failed although the sizes should have fitted.
Status withNeed(Status status, const Manifest &manifest, const Device &device, uint64_t pages) {
  if (status.code() != StatusCode::ResourceExhausted || device.hasHostMemory())
    return status;
  return resourceExhausted(status.message() + "; the model takes " +
                           needOf(manifest, device, pages).text());
}

/// Allocates the page pool; on a GPU whose memory went meanwhile once more with fewer pages.
Status makeExecutor(const SessionOptions &options, uint32_t pages, Session &session) {
  const Manifest &manifest = session.manifest();
  ExecutorOptions executor;
  executor.poison = options.poison;
  auto create = [&](uint64_t count) -> Status {
    executor.numPages = uint32_t(count);
    const ModelView view = {&manifest, session.artifact->step(), session.weights.pointers,
                            session.weights.positions};
    SINTER_ASSIGN_OR_RETURN(session.executor, Executor::create(view, *session.device, executor));
    return Status::ok();
  };
  const Status first = create(pages);
  if (first.code() != StatusCode::ResourceExhausted || session.device->hasHostMemory() ||
      options.kvBytes)
    return withNeed(first, manifest, *session.device, pages);
  MemoryNeed need = needOf(manifest, *session.device, pages);
  need.weights = 0; // they are there already
  const uint64_t fewer =
      std::min<uint64_t>(pagesThatFit(need, manifest, session.device->freeMemory()), pages);
  if (fewer == 0)
    return withNeed(first, manifest, *session.device, pages);
  if (fewer < pages) // else it is there again
    saySmaller(options, manifest, pages, fewer);
  return withNeed(create(fewer), manifest, *session.device, fewer);
}

} // namespace

uint64_t pagesFor(const Manifest &manifest, uint64_t tokens) {
  const KvPlan &kv = manifest.kv;
  const uint64_t all = (std::max<uint64_t>(tokens, 1) + kv.pageSize - 1) / kv.pageSize;
  uint64_t largestStep = 1;
  for (const EntryPlan &entry : manifest.entries)
    largestStep = std::max<uint64_t>(largestStep, entry.maxTokens);
  return kv.window ? std::min(all, pagesOfWindow(kv.window, largestStep, kv.pageSize)) : all;
}

uint32_t defaultPrefillChunk(const Session &session) {
  constexpr uint32_t kOnCpus = 512;
  return session.cuda ? UINT32_MAX : kOnCpus;
}

Result<Session> openSession(ArtifactFile file, const SessionOptions &options) {
  Session session;
  SINTER_RETURN_IF_ERROR(openDevice(file, options, session));
  Device &device = *session.device;
  SINTER_ASSIGN_OR_RETURN(session.artifact,
                          Artifact::load(std::move(file), device.target(), device.isa()));
  const Manifest &manifest = session.manifest();
  const ArtifactSections &sections = session.artifact->file().sections();
  SINTER_RETURN_IF_ERROR(device.loadKernels(manifest, sections.ptx, sections.cubin)
                             .withContext(session.artifact->file().path()));
  SINTER_ASSIGN_OR_RETURN(const uint32_t pages, choosePages(manifest, options, device));
  WeightOptions weights = options.weights;
  weights.positions =
      std::min(manifest.model.maxPosition,
               std::max(pages * manifest.kv.pageSize,
                        std::min<uint64_t>(options.positions, manifest.kv.tokensIn(pages))));
  Result<ResidentWeights> resident = loadWeights(manifest, device, weights);
  if (!resident)
    return withNeed(resident.status(), manifest, device, pages);
  session.weights = *std::move(resident);
  SINTER_RETURN_IF_ERROR(makeExecutor(options, pages, session));
  return session;
}

} // namespace sinter
