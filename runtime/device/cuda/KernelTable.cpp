//===- KernelTable.cpp ----------------------------------------------------===//
#include "runtime/device/cuda/KernelTable.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sinter::cuda {
namespace {

std::string joined(const std::vector<std::string> &parts) {
  std::string text;
  for (const std::string &part : parts)
    text += (text.empty() ? "" : ", ") + part;
  return text;
}

/// Whether the driver could not read machine code, as an old one cannot read that of a newer
/// assembler: then the PTX may still do.
bool isForeignCode(Code code) { return code != kOutOfMemory && !isFatal(code); }

Status jitError(Code code, const char *log) {
  if (code == kUnsupportedPtxVersion)
    return unsupported("the NVIDIA driver (" + versionText(driver().version) +
                       ") is too old for the kernels' PTX: update it, or compile where ptxas is, "
                       "so that the model holds machine code");
  if (code == kJitCompilerNotFound)
    return unavailable("the NVIDIA driver's compiler (libnvidia-ptxjitcompiler) is not installed");
  const std::string text(log, std::find(log, log + std::strlen(log), '\n'));
  const Status status = errorStatus(code, "the NVIDIA driver cannot compile the kernels");
  return text.empty() ? status : Status(status.code(), status.message() + ": " + text);
}

Result<OwnedModule> loadModule(const ModulePlan &plan, std::string_view ptx, std::string_view cubin,
                               const Manifest &manifest, const Gpu &gpu, const Say &say) {
  auto anyOf = [&](bool (*runs)(const std::string &, Capability)) {
    return std::any_of(manifest.isas.begin(), manifest.isas.end(),
                       [&](const std::string &isa) { return runs(isa, gpu.capability()); });
  };
  if (plan.cubinBytes > 0 && anyOf(cubinRuns)) {
    Module module = nullptr;
    const Code code =
        driver().moduleLoad(&module, cubin.data() + plan.cubinOffset, 0, nullptr, nullptr);
    if (code == kSuccess)
      return OwnedModule(module);
    if (!isForeignCode(code))
      return errorStatus(code, "cannot load the kernels");
  }
  if (!anyOf(ptxRuns)) {
    const std::string target = compileTarget(gpu.capability());
    return unsupported(
        "compiled for " + joined(manifest.isas) + ", which " + gpu.name() + " (sm_" +
        std::to_string(gpu.capability()) + ") does not run" +
        (target.empty() ? std::string() : ": compile again with --target=cuda:" + target));
  }
  if (say)
    say("compiling kernels for sm_" + std::to_string(gpu.capability()) +
        " with the driver (cached by the driver)");
  return loadPtx(ptx.data() + plan.ptxOffset);
}

Result<TensorMap> encodeTensorMap(const TensorMapPlan &plan, void *address) {
  TensorMap map;
  constexpr uint32_t kPanel = 64, kGroup = 8; // columns and rows that lie together in a box
  const bool grouped = plan.boxColumns > kPanel;
  const uint64_t row = plan.columns * dtypeBytes(plan.dtype);
  const uint64_t extents[4] = {grouped ? kPanel : plan.columns, grouped ? kGroup : plan.rows,
                               plan.columns / kPanel, plan.rows / kGroup};
  const uint64_t strides[3] = {row, kPanel * dtypeBytes(plan.dtype), row * kGroup};
  const uint32_t box[4] = {kPanel, grouped ? kGroup : plan.boxRows, plan.boxColumns / kPanel,
                           plan.boxRows / kGroup};
  const uint32_t elementStrides[4] = {1, 1, 1, 1};
  SINTER_CUDA_RETURN_IF_ERROR(
      driver().tensorMapEncodeTiled(
          &map, plan.dtype == DType::F16 ? kTensorMapFloat16 : kTensorMapBfloat16, grouped ? 4 : 2,
          address, extents, strides, box, elementStrides, kTensorMapInterleaveNone,
          kTensorMapSwizzle128B, kTensorMapL2Promotion256B, kTensorMapFillZero),
      "cannot describe argument " + std::to_string(plan.arg) + " as a tensor");
  return map;
}

} // namespace

Result<OwnedModule> loadPtx(const char *text) {
  std::array<char, 4096> log = {};
  JitOption options[] = {kJitErrorLog, kJitErrorLogBytes};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size() - 1)};
  Module module = nullptr;
  if (const Code code = driver().moduleLoad(&module, text, 2, options, values))
    return jitError(code, log.data());
  return OwnedModule(module);
}

Result<KernelTable> KernelTable::load(const Manifest &manifest, std::string_view ptx,
                                      std::string_view cubin, const Gpu &gpu, const Say &say) {
  KernelTable table;
  table.manifest_ = &manifest;
  for (const ModulePlan &plan : manifest.modules) {
    const bool first = table.modules_.empty();
    SINTER_ASSIGN_OR_RETURN(OwnedModule module,
                            loadModule(plan, ptx, cubin, manifest, gpu, first ? say : Say()));
    table.modules_.push_back(std::move(module));
  }
  SINTER_RETURN_IF_ERROR(table.findFunctions(manifest, gpu));
  return table;
}

Status KernelTable::findFunctions(const Manifest &manifest, const Gpu &gpu) {
  constexpr uint32_t kSharedWithoutAsking = 48 * 1024, kPortableCluster = 8;
  for (const KernelPlan &kernel : manifest.kernels) {
    const std::string what = "kernel " + kernel.name;
    Function function = nullptr;
    SINTER_CUDA_RETURN_IF_ERROR(
        driver().moduleGetFunction(&function, modules_[kernel.module].get(), kernel.name.c_str()),
        what + ": not in its module");
    int threads = 0, shared = 0; // asking also loads the kernel, which a capture could not do
    SINTER_CUDA_RETURN_IF_ERROR(
        driver().functionGetAttribute(&threads, kMaxThreadsPerBlock, function), what);
    SINTER_CUDA_RETURN_IF_ERROR(
        driver().functionGetAttribute(&shared, kStaticSharedBytes, function), what);
    if (uint32_t(threads) < kernel.threads)
      return unsupported(what + ": needs CTAs of " + std::to_string(kernel.threads) +
                         " threads, this GPU can run it with " + std::to_string(threads));
    const uint64_t needed = uint64_t(shared) + kernel.sharedBytes;
    if (needed > gpu.maxSharedBytes())
      return unsupported(what + ": needs " + std::to_string(needed) +
                         " bytes of shared memory, this GPU has " +
                         std::to_string(gpu.maxSharedBytes()));
    if (needed > kSharedWithoutAsking)
      SINTER_CUDA_RETURN_IF_ERROR(
          driver().functionSetAttribute(function, kMaxDynamicSharedBytes, int(kernel.sharedBytes)),
          what);
    if (kernel.cluster > 1 && gpu.capability() < 90)
      return unsupported(what + ": needs clusters, which this GPU does not have");
    if (kernel.cluster > kPortableCluster)
      SINTER_CUDA_RETURN_IF_ERROR(
          driver().functionSetAttribute(function, kNonPortableClusterAllowed, 1), what);
    functions_.push_back(function);
  }
  return Status::ok();
}

Status KernelTable::launch(uint32_t kernel, const SinterLaunch &launch, uint32_t ctas,
                           DevicePointer batch, Stream stream, bool programmatic) const {
  const KernelPlan &plan = manifest_->kernels[kernel];
  std::array<TensorMap, SINTER_MAX_ARGS> maps;
  std::array<void *, SINTER_MAX_ARGS + 1> parameters;
  void *const *args = launch.args;
  for (uint32_t i = 0; i < launch.num_args; ++i)
    parameters[i] = static_cast<void *>(const_cast<void **>(args + i));
  parameters[launch.num_args] = &batch;
  for (const TensorMapPlan &map : plan.tensorMaps) {
    if (map.arg >= launch.num_args)
      return internalError("argument " + std::to_string(map.arg) + " of a tensor map is missing");
    SINTER_ASSIGN_OR_RETURN(maps[map.arg], encodeTensorMap(map, args[map.arg]));
    parameters[map.arg] = &maps[map.arg];
  }
  LaunchAttribute attributes[2] = {};
  LaunchConfig config = {};
  config.gridX = ctas;
  config.gridY = config.gridZ = config.blockY = config.blockZ = 1;
  config.blockX = plan.threads;
  config.sharedBytes = plan.sharedBytes;
  config.stream = stream;
  config.attributes = attributes;
  if (plan.cluster > 1) {
    LaunchAttribute &attribute = attributes[config.numAttributes++];
    attribute.id = kClusterDimension;
    attribute.value[0] = plan.cluster;
    attribute.value[1] = attribute.value[2] = 1;
  }
  if (programmatic) {
    LaunchAttribute &attribute = attributes[config.numAttributes++];
    attribute.id = kProgrammaticSerialization;
    attribute.value[0] = 1;
  }
  SINTER_CUDA_RETURN_IF_ERROR(
      driver().launchKernel(&config, functions_[kernel], parameters.data(), nullptr),
      "cannot be started");
  return Status::ok();
}

} // namespace sinter::cuda
