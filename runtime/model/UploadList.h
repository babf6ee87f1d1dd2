//===- UploadList.h - pieces of weights that are made in parallel -*- C++ -*-===//
#pragma once

#include "runtime/device/Device.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace sinter {

/// What Device::produce will fill, piece by piece, in one go for all weights.
struct UploadList {
  using Maker = std::function<Status(void *host)>;

  std::vector<UploadPiece> pieces;
  std::vector<Maker> makers;

  /// Cuts `bytes` at `destination` into pieces; `make(offset, size)` gives the maker of one.
  template <typename Make> void append(void *destination, uint64_t bytes, Make make) {
    for (uint64_t offset = 0; offset < bytes; offset += kMaxUploadPiece) {
      const uint64_t size = std::min(kMaxUploadPiece, bytes - offset);
      pieces.push_back({static_cast<uint8_t *>(destination) + offset, size});
      makers.push_back(make(offset, size));
    }
  }
};

} // namespace sinter
