//===- Cublas.cpp ---------------------------------------------------------===//
#include "runtime/tune/Cublas.h"

#include <cstdlib>
#include <dlfcn.h>

namespace sinter::tune {
namespace {

// cublas_api.h and library_types.h
constexpr int kNormal = 0, kTransposed = 1, kBf16 = 14, kComputeF32 = 68, kDefaultAlgorithm = -1;

void *openLibrary() {
  const char *chosen = std::getenv("SINTER_CUBLAS");
  if (chosen && *chosen)
    return dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
  for (const char *name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
    if (void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL))
      return library;
  return nullptr;
}

} // namespace

std::unique_ptr<Cublas> Cublas::open(cuda::Stream stream) {
  constexpr uint64_t kWorkspace = uint64_t(32) << 20; // what cuBLAS itself takes on sm_90
  void *library = openLibrary();
  if (!library)
    return nullptr;
  auto create = reinterpret_cast<int (*)(HandleT *)>(dlsym(library, "cublasCreate_v2"));
  auto setStream =
      reinterpret_cast<int (*)(HandleT, cuda::Stream)>(dlsym(library, "cublasSetStream_v2"));
  auto setWorkspace =
      reinterpret_cast<int (*)(HandleT, void *, size_t)>(dlsym(library, "cublasSetWorkspace_v2"));
  std::unique_ptr<Cublas> made(new Cublas);
  made->destroy_ = reinterpret_cast<decltype(destroy_)>(dlsym(library, "cublasDestroy_v2"));
  made->gemmEx_ = reinterpret_cast<decltype(gemmEx_)>(dlsym(library, "cublasGemmEx"));
  if (!create || !setStream || !setWorkspace || !made->destroy_ || !made->gemmEx_)
    return nullptr;
  Result<cuda::DeviceBlock> workspace = cuda::makeDeviceBlock(kWorkspace);
  if (!workspace || create(&made->handle_) != 0)
    return nullptr;
  made->workspace_ = std::move(*workspace);
  if (setStream(made->handle_, stream) != 0 ||
      setWorkspace(made->handle_, reinterpret_cast<void *>(made->workspace_.get()), kWorkspace))
    return nullptr;
  return made;
}

Cublas::~Cublas() {
  if (handle_)
    destroy_(handle_);
}

Status Cublas::gemm(cuda::DevicePointer x, cuda::DevicePointer w, cuda::DevicePointer y, uint32_t m,
                    uint32_t n, uint32_t k) {
  const float one = 1, zero = 0;
  // Its matrices are column-major: theirs is W x^T.
  const int code = gemmEx_(
      handle_, kTransposed, kNormal, int(n), int(m), int(k), &one,
      reinterpret_cast<const void *>(w), kBf16, int(k), reinterpret_cast<const void *>(x), kBf16,
      int(k), &zero, reinterpret_cast<void *>(y), kBf16, int(n), kComputeF32, kDefaultAlgorithm);
  return code == 0 ? Status::ok() : internalError("cublasGemmEx: status " + std::to_string(code));
}

} // namespace sinter::tune
