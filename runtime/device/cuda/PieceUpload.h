//===- PieceUpload.h - host data to GPU memory from many threads -*- C++ -*-===//
#pragma once

#include "runtime/device/Device.h"
#include "runtime/device/cpu/ThreadPool.h"
#include "runtime/device/cuda/Gpu.h"

#include <cstdint>
#include <functional>
#include <span>

namespace sinter::cuda {

/// Device::produce for a GPU: every thread has two pieces of pinned memory and a stream, and fills
/// one piece while the other is copied.
Status uploadPieces(const Gpu &gpu, ThreadPool &pool, std::span<const UploadPiece> pieces,
                    const std::function<Status(uint32_t, void *)> &produce);

} // namespace sinter::cuda
