//===- TargetChoice.cpp ---------------------------------------------------===//
#include "runtime/cli/TargetChoice.h"

#include "runtime/device/cuda/Gpu.h"

#include <algorithm>
#include <string_view>

namespace sinter {
namespace {

constexpr std::string_view kCudaPrefix = "cuda:";

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
  if (asked.compare(0, kCudaPrefix.size(), kCudaPrefix) != 0)
    return asked == manifest.target;
  return manifest.target == kCudaTarget &&
         std::find(manifest.isas.begin(), manifest.isas.end(), asked.substr(kCudaPrefix.size())) !=
             manifest.isas.end();
}

} // namespace sinter
