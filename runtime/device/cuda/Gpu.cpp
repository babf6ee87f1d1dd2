//===- Gpu.cpp ------------------------------------------------------------===//
#include "runtime/device/cuda/Gpu.h"

#include <charconv>
#include <optional>
#include <string_view>

namespace sinter::cuda {
namespace {

constexpr Capability kOldest = 80;

/// "sm_90a" in parts.
struct Isa {
  Capability version = 0;
  bool exact = false;
};

std::optional<Isa> parseIsa(const std::string &text) {
  constexpr std::string_view kPrefix = "sm_";
  if (text.compare(0, kPrefix.size(), kPrefix) != 0)
    return std::nullopt;
  Isa isa;
  const char *end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + kPrefix.size(), end, isa.version);
  if (parsed.ec != std::errc() || end - parsed.ptr > 1)
    return std::nullopt;
  isa.exact = parsed.ptr != end;
  return isa;
}

Result<DeviceNumber> findDevice(int number) {
  SINTER_RETURN_IF_ERROR(loadDriver().status());
  int count = 0;
  SINTER_CUDA_RETURN_IF_ERROR(driver().deviceGetCount(&count), "cannot count the GPUs");
  if (count == 0)
    return notFound("the NVIDIA driver finds no GPU");
  if (number < 0 || number >= count)
    return invalidArgument("--device " + std::to_string(number) + ": this machine has " +
                           std::to_string(count) +
                           (count == 1 ? " GPU, number 0" : " GPUs, from 0 on"));
  DeviceNumber device = 0;
  SINTER_CUDA_RETURN_IF_ERROR(driver().deviceGet(&device, number), "cannot find the GPU");
  return device;
}

Result<int> attribute(DeviceNumber device, DeviceAttribute which) {
  int value = 0;
  SINTER_CUDA_RETURN_IF_ERROR(driver().deviceGetAttribute(&value, which, device),
                              "cannot ask the GPU what it is");
  return value;
}

Result<Capability> capabilityOf(DeviceNumber device) {
  SINTER_ASSIGN_OR_RETURN(const int major, attribute(device, kCapabilityMajor));
  SINTER_ASSIGN_OR_RETURN(const int minor, attribute(device, kCapabilityMinor));
  return major * 10 + minor;
}

} // namespace

Result<std::unique_ptr<Gpu>> Gpu::open(int number) {
  std::unique_ptr<Gpu> gpu(new Gpu);
  SINTER_ASSIGN_OR_RETURN(gpu->device_, findDevice(number));
  char name[128] = {};
  SINTER_CUDA_RETURN_IF_ERROR(driver().deviceGetName(name, sizeof name - 1, gpu->device_),
                              "cannot ask for the GPU's name");
  gpu->name_ = name;
  SINTER_ASSIGN_OR_RETURN(gpu->capability_, capabilityOf(gpu->device_));
  SINTER_ASSIGN_OR_RETURN(const int multiprocessors, attribute(gpu->device_, kMultiprocessorCount));
  SINTER_ASSIGN_OR_RETURN(const int shared, attribute(gpu->device_, kMaxSharedPerBlockOptin));
  gpu->multiprocessors_ = uint32_t(multiprocessors);
  gpu->maxShared_ = uint32_t(shared);
  SINTER_CUDA_RETURN_IF_ERROR(driver().primaryContextRetain(&gpu->context_, gpu->device_),
                              gpu->name_ + ": cannot be used");
  SINTER_RETURN_IF_ERROR(gpu->enter());
  return gpu;
}

Gpu::~Gpu() {
  if (context_)
    driver().primaryContextRelease(device_);
}

Status Gpu::enter() const {
  SINTER_CUDA_RETURN_IF_ERROR(driver().contextSetCurrent(context_), name_ + ": cannot be used");
  return Status::ok();
}

bool cubinRuns(const std::string &isa, Capability capability) {
  const std::optional<Isa> code = parseIsa(isa);
  return code &&
         (code->exact ? code->version == capability
                      : code->version / 10 == capability / 10 && code->version <= capability);
}

bool ptxRuns(const std::string &isa, Capability capability) {
  const std::optional<Isa> code = parseIsa(isa);
  return code && (code->exact ? code->version == capability : code->version <= capability);
}

std::string compileTarget(Capability capability) {
  if (capability < kOldest)
    return {};
  if (capability == 90)
    return "sm_90a";
  if (capability > 90)
    return "sm_90"; // its PTX runs on everything later
  return capability == 89 ? "sm_89" : "sm_80";
}

Result<std::string> detectChip(int number) {
  SINTER_ASSIGN_OR_RETURN(const DeviceNumber device, findDevice(number));
  SINTER_ASSIGN_OR_RETURN(const Capability capability, capabilityOf(device));
  const std::string chip = compileTarget(capability);
  if (chip.empty())
    return unsupported("the GPU is sm_" + std::to_string(capability) + ", sm_" +
                       std::to_string(kOldest) + " or newer is needed");
  return chip;
}

} // namespace sinter::cuda
