//===- Cpuid.h - which instruction level this processor runs ----*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <string>

namespace sinter {

/// The x86-64 micro-architecture level, 1 to 4, that processor and operating system both support.
uint32_t cpuLevel();

/// cpuLevel(), or an error when it is below the lowest level Sinter has kernels for (3).
Result<uint32_t> usableCpuLevel();

/// The processor's own name: "Intel(R) Xeon(R) ...".
std::string cpuName();

/// Processors this process may run on (its affinity mask).
uint32_t availableCpus();

} // namespace sinter
