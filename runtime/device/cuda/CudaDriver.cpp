//===- CudaDriver.cpp -----------------------------------------------------===//
#include "runtime/device/cuda/CudaDriver.h"

#include <cstdlib>
#include <dlfcn.h>
#include <mutex>

namespace sinter::cuda {
namespace {

constexpr int kOldestVersion = 12000; // launch attributes and tensor maps
constexpr const char *kLibrary = "libcuda.so.1";

std::mutex mutex;
CudaDriver loaded;
bool isLoaded = false;

Status tooOld(int version) {
  return unsupported("the NVIDIA driver is too old: it has " + versionText(version) +
                     ", Sinter needs " + versionText(kOldestVersion) + " or newer");
}

Status initialise(const CudaDriver &api) {
  const Code code = api.init(0);
  if (code == kNoDevice)
    return notFound("the NVIDIA driver finds no GPU");
  if (code == kStubLibrary)
    return notFound("no NVIDIA driver: the library found is a stub for linking");
  if (code == kSuccess)
    return Status::ok();
  const char *text = nullptr;
  api.getErrorString(code, &text);
  return unavailable("the NVIDIA driver does not start: " +
                     (text ? std::string(text) : "error " + std::to_string(code)));
}

Status load(CudaDriver &api) {
  const char *chosen = std::getenv("SINTER_CUDA_DRIVER");
  void *library = dlopen(chosen && *chosen ? chosen : kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return notFound(std::string("no NVIDIA driver: ") + dlerror());
  const char *missing = nullptr;
#define SINTER_CUDA_FIND(member, symbol, parameters)                                               \
  api.member = reinterpret_cast<decltype(api.member)>(dlsym(library, symbol));                     \
  if (!api.member && !missing)                                                                     \
    missing = symbol;
  SINTER_CUDA_FUNCTIONS(SINTER_CUDA_FIND)
#undef SINTER_CUDA_FIND
  if (api.driverGetVersion)
    api.driverGetVersion(&api.version);
  if (api.version != 0 && api.version < kOldestVersion)
    return tooOld(api.version);
  if (missing)
    return unsupported(std::string("the NVIDIA driver is too old: it has no ") + missing);
  return initialise(api);
}

} // namespace

Result<const CudaDriver *> loadDriver() {
  const std::lock_guard lock(mutex);
  if (!isLoaded) {
    CudaDriver api;
    SINTER_RETURN_IF_ERROR(load(api));
    loaded = api;
    isLoaded = true;
  }
  return const_cast<const CudaDriver *>(&loaded);
}

const CudaDriver &driver() { return loaded; }

std::string versionText(int version) {
  return "CUDA " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

bool isFatal(Code code) {
  switch (code) {
  case kDeviceUnavailable:
  case kEccUncorrectable:
  case kNvlinkUncorrectable:
  case kContained:
  case kIllegalAddress:
  case kLaunchTimeout:
  case kAssert:
  case kHardwareStackError:
  case kIllegalInstruction:
  case kMisalignedAddress:
  case kInvalidAddressSpace:
  case kInvalidPc:
  case kLaunchFailed:
    return true;
  default:
    return false;
  }
}

Status errorStatus(Code code, const std::string &what) {
  const char *name = nullptr, *text = nullptr;
  driver().getErrorName(code, &name);
  driver().getErrorString(code, &text);
  std::string message = what + ": " + (text ? text : "error " + std::to_string(code));
  if (name)
    message += " (" + std::string(name) + ")";
  if (code == kOutOfMemory)
    return resourceExhausted(std::move(message));
  return isFatal(code) ? unavailable(std::move(message)) : internalError(std::move(message));
}

} // namespace sinter::cuda
