//===- CudaDriver.h - the driver library, found at run time -----*- C++ -*-===//
#pragma once

#include "runtime/device/cuda/CudaApi.h"
#include "sinter/Support/Status.h"

#include <string>

namespace sinter::cuda {

/// The functions of libcuda.so.1.
struct CudaDriver {
#define SINTER_CUDA_MEMBER(member, symbol, parameters) Code(*member) parameters = nullptr;
  SINTER_CUDA_FUNCTIONS(SINTER_CUDA_MEMBER)
#undef SINTER_CUDA_MEMBER
  int version = 0; ///< of CUDA: 12040 for 12.4
};

/// Opens the driver's library (or the one that SINTER_CUDA_DRIVER names) and initialises it; what
/// worked once is kept for the life of the process.
Result<const CudaDriver *> loadDriver();

/// The driver that loadDriver() has loaded.
const CudaDriver &driver();

/// "CUDA 12.4" of 12040.
std::string versionText(int version);

/// `code` as an error: "what: the driver's explanation (CUDA_ERROR_NAME)".
Status errorStatus(Code code, const std::string &what);

/// Whether nothing can run in a context any more that has returned `code`.
bool isFatal(Code code);

} // namespace sinter::cuda

/// Returns an error from the enclosing function when a driver call fails.
#define SINTER_CUDA_RETURN_IF_ERROR(call, what)                                                    \
  do {                                                                                             \
    if (const ::sinter::cuda::Code sinterCode_ = (call))                                           \
      return ::sinter::cuda::errorStatus(sinterCode_, what);                                       \
  } while (false)
