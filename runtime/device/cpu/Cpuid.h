//===- Cpuid.h - which instruction level this processor runs ----*- C++ -*-===//
#pragma once

#include "sinter/Support/CpuIsa.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <string>

namespace sinter {

/// The best instruction set that processor and operating system both support: the x86-64
/// micro-architecture levels 1 to 4, or kIsaV4Bf16.
uint32_t cpuIsa();

/// cpuIsa(), or an error when it is below the lowest that Sinter has kernels for (kIsaV3).
Result<uint32_t> usableCpuIsa();

/// The processor's own name: "Intel(R) Xeon(R) ...".
std::string cpuName();

/// Processors this process may run on (its affinity mask).
uint32_t availableCpus();

/// Bytes of the level 3 cache that all of these processors share; 0: there is none, or the system
/// does not say. `root` is where Linux describes processors. (What sysconf says of AMD's is that of
/// all groups of cores together.)
uint64_t sharedCacheBytes(const std::string &root = "/sys/devices/system/cpu");

} // namespace sinter
