//===- PageAllocator.h - who owns which page of the KV cache ----*- C++ -*-===//
//
// Pages are numbers; their bytes are the executor's. Every page of [0, numPages) is either in the
// free list, with no references, or owned by one or more sequences, one reference each.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace sinter {

using PageId = int32_t;

class PageAllocator {
public:
  /// Hands out pages 0, 1, 2, ... at first.
  explicit PageAllocator(uint32_t numPages);
  /// Hands out pages in the order of a shuffle: nothing may depend on the order, and tests use this
  /// to show it.
  PageAllocator(uint32_t numPages, uint64_t shuffleSeed);

  /// A page with one reference; nothing when all are in use.
  std::optional<PageId> allocate();
  /// One more owner. A shared page is read only.
  void share(PageId page);
  /// One owner less; the last one frees the page.
  void release(PageId page);

  uint32_t numPages() const { return uint32_t(references_.size()); }
  uint32_t freePages() const { return uint32_t(free_.size()); }
  uint32_t references(PageId page) const { return references_[size_t(page)]; }

  /// Describes the first contradiction in the books: a page that is both free and owned, lost, or
  /// free twice.
  Status checkIntegrity() const;

private:
  std::vector<PageId> free_; ///< the last one goes first
  std::vector<uint32_t> references_;
};

} // namespace sinter
