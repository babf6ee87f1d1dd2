//===- Cublas.h - cuBLAS, if it is there ------------------------*- C++ -*-===//
//
// For the column beside our own kernels. Opened at run time: the library's name with the versions
// that are about, or what SINTER_CUBLAS names.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/device/cuda/Handles.h"

#include <memory>

namespace sinter::tune {

class Cublas {
public:
  /// Null without the library.
  static std::unique_ptr<Cublas> open(cuda::Stream stream);
  ~Cublas();

  /// y [m, n] = x [m, k] w [n, k]^T in bf16 with f32 sums.
  Status gemm(cuda::DevicePointer x, cuda::DevicePointer w, cuda::DevicePointer y, uint32_t m,
              uint32_t n, uint32_t k);

private:
  Cublas() = default;
  using HandleT = void *;
  HandleT handle_ = nullptr;
  cuda::DeviceBlock workspace_; ///< of its own, as a graph needs it
  int (*destroy_)(HandleT) = nullptr;
  int (*gemmEx_)(HandleT, int, int, int, int, int, const void *, const void *, int, int,
                 const void *, int, int, const void *, void *, int, int, int, int) = nullptr;
};

} // namespace sinter::tune
