//===- SwapSpace.h - pages in host memory -----------------------*- C++ -*-===//
#pragma once

#include "runtime/engine/Executor.h"

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace sinter {

class SwapSpace;

/// Copies of some pages, whose room goes back to the space with them.
class SwappedPages {
public:
  SwappedPages(SwappedPages &&other) noexcept
      : space_(std::exchange(other.space_, nullptr)), bytes_(std::move(other.bytes_)),
        pages_(other.pages_) {}
  SwappedPages &operator=(SwappedPages &&other) noexcept {
    std::swap(space_, other.space_);
    std::swap(bytes_, other.bytes_);
    std::swap(pages_, other.pages_);
    return *this;
  }
  ~SwappedPages();

  uint32_t pages() const { return pages_; }

private:
  friend class SwapSpace;
  SwappedPages(SwapSpace &space, uint32_t pages, uint64_t pageBytes)
      : space_(&space), bytes_(std::make_unique_for_overwrite<uint8_t[]>(pages * pageBytes)),
        pages_(pages) {}

  SwapSpace *space_;
  std::unique_ptr<uint8_t[]> bytes_;
  uint32_t pages_;
};

/// Host memory for pages of sequences that wait. It outlives what it has given out.
class SwapSpace {
public:
  SwapSpace(Executor &executor, uint64_t maxBytes)
      : executor_(executor), maxPages_(maxBytes / executor.manifest().kv.pageBytes) {}

  bool hasRoom(uint32_t pages) const { return used_ + pages <= maxPages_; }
  uint64_t usedPages() const { return used_; }

  /// Copies pages to the host. Fails when the device does.
  Result<SwappedPages> save(std::span<const PageId> pages);
  /// Copies saved pages from number `first` on to `to`.
  Status restore(const SwappedPages &saved, uint32_t first, std::span<const PageId> to);

private:
  friend class SwappedPages;

  Executor &executor_;
  uint64_t maxPages_;
  uint64_t used_ = 0;
};

} // namespace sinter
