//===- GpuSpeed.h - how fast a GPU reads its memory -------------*- C++ -*-===//
#pragma once

#include "runtime/device/cuda/Gpu.h"

namespace sinter::cuda {

/// Bytes per second at which a kernel of 16-byte loads reads up to 2 GiB once: the best of several
/// passes. 0: not measured, as so little memory is free that caches would count.
Result<double> measureGpuReadBandwidth(const Gpu &gpu, Stream stream);

} // namespace sinter::cuda
