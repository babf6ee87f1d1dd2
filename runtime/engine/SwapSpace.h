//===- SwapSpace.h - pages in host memory -----------------------*- C++ -*-===//
#pragma once

#include "runtime/engine/PageBytes.h"
#include "runtime/engine/Sequence.h"

#include <cstdint>
#include <memory>
#include <utility>

namespace sinter {

class SwapSpace;

/// Copies of a sequence's pages, whose room goes back to the space with them.
class SwappedPages {
public:
  SwappedPages(SwappedPages &&other) noexcept
      : space_(std::exchange(other.space_, nullptr)), bytes_(std::move(other.bytes_)),
        first_(other.first_), pages_(other.pages_), tokens_(other.tokens_) {}
  SwappedPages &operator=(SwappedPages &&other) noexcept {
    std::swap(space_, other.space_);
    std::swap(bytes_, other.bytes_);
    std::swap(first_, other.first_);
    std::swap(pages_, other.pages_);
    std::swap(tokens_, other.tokens_);
    return *this;
  }
  ~SwappedPages();

  uint32_t pages() const { return pages_; }
  /// Positions that they hold, as far as the next token sees them.
  uint32_t tokens() const { return tokens_; }

private:
  friend class SwapSpace;
  SwappedPages(SwapSpace &space, uint32_t first, uint32_t pages, uint32_t tokens,
               uint64_t pageBytes)
      : space_(&space), bytes_(std::make_unique_for_overwrite<uint8_t[]>(pages * pageBytes)),
        first_(first), pages_(pages), tokens_(tokens) {}

  SwapSpace *space_;
  std::unique_ptr<uint8_t[]> bytes_;
  uint32_t first_; ///< which of the sequence's pages the first is
  uint32_t pages_, tokens_;
};

/// Host memory for pages of sequences that wait. It outlives what it has given out.
class SwapSpace {
public:
  SwapSpace(PageBytes &memory, uint64_t maxBytes)
      : memory_(memory), maxPages_(maxBytes / memory.pageBytes()) {}

  bool hasRoom(uint32_t pages) const { return used_ + pages <= maxPages_; }
  uint64_t usedPages() const { return used_; }

  /// Pages that hold what a sequence has cached and its next token sees.
  static uint32_t pagesOf(const Sequence &sequence);
  /// Copies them to the host. Fails when the device does.
  Result<SwappedPages> save(const Sequence &sequence);
  /// Gives a sequence without pages of its own, which has adopted what the prefix cache holds, the
  /// rest of what was saved of it. There are enough pages. Fails when the device does.
  Status restore(const SwappedPages &saved, Sequence &sequence);

private:
  friend class SwappedPages;

  PageBytes &memory_;
  uint64_t maxPages_;
  uint64_t used_ = 0;
};

} // namespace sinter
