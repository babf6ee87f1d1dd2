//===- TargetChoice.cpp ---------------------------------------------------===//
#include "runtime/cli/TargetChoice.h"

#include "runtime/device/cuda/Gpu.h"
#include "sinter/Support/CpuIsa.h"

#include <algorithm>
#include <string_view>

namespace sinter {
namespace {

constexpr std::string_view kCudaPrefix = "cuda:", kCpuPrefix = "cpu:";

} // namespace

Result<std::string> chooseTarget(const std::string &asked, int device,
                                 const std::function<void(const std::string &)> &say) {
  const bool gpu = asked == kCudaTarget || asked.compare(0, kCudaPrefix.size(), kCudaPrefix) == 0;
  if (!asked.empty() && !gpu)
    return asked;
  const Result<std::string> chip = cuda::detectChip(device);
  if (!chip && gpu)
    return chip.status().withContext("--target " + asked);
  if (!chip || (gpu && asked != kCudaTarget))
    return asked;
  if (!gpu)
    say("using the NVIDIA GPU (" + *chip + "); --target cpu for the processor");
  return std::string(kCudaPrefix) + *chip;
}

bool isCompiledFor(const Manifest &manifest, const std::string &asked) {
  const size_t colon = asked.find(':');
  if (asked.substr(0, colon) != manifest.target)
    return false;
  return colon == std::string::npos || std::find(manifest.isas.begin(), manifest.isas.end(),
                                                 asked.substr(colon + 1)) != manifest.isas.end();
}

Status checkIsa(const std::string &target, uint32_t isa) {
  if (isa == 0 || target.compare(0, kCpuPrefix.size(), kCpuPrefix) != 0)
    return Status::ok();
  const std::string asked = target.substr(kCpuPrefix.size());
  for (uint32_t least = isa + 1; least <= kIsaV4Bf16; ++least)
    if (asked == cpuIsaName(least) && !(asked == cpuIsaName(kIsaV4Bf16) && isa == kIsaV4))
      return invalidArgument("--isa: --target " + target + " makes no code for " + cpuIsaName(isa));
  return Status::ok();
}

} // namespace sinter
