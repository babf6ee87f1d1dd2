//===- PageAllocator.h - who owns which page of the KV cache ----*- C++ -*-===//
//
// Pages are numbers; their bytes are the executor's. Every page of [0, numPages) is in one state:
//
//   free     nobody's, its contents worthless
//   owned    by one or more sequences, one reference each
//   resting  without an owner while a step that may touch it is still in flight
//   cached   without an owner, kept for the prefix it holds until its place is needed
//
//   free -> owned -> (resting ->) free           contents that nobody has published
//   free -> owned -> (resting ->) cached -> owned again, or free when evicted
//
// Only a page whose every token's K and V have been written by a step that succeeded may be
// published. A published or shared page is never written.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/engine/PrefixIndex.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace sinter {

/// Names a step between its beginning and its end; they count upwards.
using StepId = uint64_t;

class PageAllocator {
public:
  /// Hands out pages 0, 1, 2, ... at first.
  explicit PageAllocator(uint32_t numPages);
  /// Hands out pages in the order of a shuffle: nothing may depend on the order, and tests use this
  /// to show it. `hashMask` goes to the PrefixIndex.
  PageAllocator(uint32_t numPages, uint64_t shuffleSeed, uint64_t hashMask = ~uint64_t(0));

  /// A page with one reference, where there is none free the longest unused cached one; nothing
  /// when there is none of these either.
  std::optional<PageId> allocate();
  /// One more owner. A shared page is read only.
  void share(PageId page);
  /// One owner less. The last one's page is free or, if published, cached; in either case it is
  /// reused only after the steps now in flight have ended.
  void release(PageId page);

  /// A step that reads and writes pages owned now is about to start. Steps end in the order of
  /// their beginning.
  StepId beginStep();
  void endStep(StepId step);

  /// The page that holds `tokens` after `before`, with one more reference.
  std::optional<PrefixIndex::Hit> acquire(const PrefixNode &before,
                                          std::span<const int32_t> tokens);
  /// Makes an owned page findable by its contents and returns the node that ends with it, or with
  /// the page that was known for the same contents before.
  PrefixNode publish(PageId page, const PrefixNode &before, std::span<const int32_t> tokens);

  uint32_t numPages() const { return uint32_t(pages_.size()); }
  uint32_t freePages() const { return uint32_t(free_.size()); }
  uint32_t cachedPages() const { return cached_; }
  uint32_t restingPages() const { return resting_; }
  uint32_t ownedPages() const { return numPages() - freePages() - cached_ - resting_; }
  /// What allocate() can hand out in a row.
  uint32_t availablePages() const { return freePages() + cached_; }
  uint32_t references(PageId page) const { return pages_[size_t(page)].references; }
  bool published(PageId page) const { return index_.contains(page); }
  /// Whether a step may write it.
  bool writable(PageId page) const { return references(page) == 1 && !published(page); }

  /// Debugging aid: called with every page whose contents become worthless.
  void setOnFree(std::function<void(PageId)> onFree) { onFree_ = std::move(onFree); }

  /// Describes the first contradiction in the books: a page in two states or in none, free or
  /// cached while a step may touch it, counted wrongly.
  Status checkIntegrity() const;

private:
  enum class State : uint8_t { Free, Owned, Resting, Cached };
  static constexpr PageId kNone = -1;

  struct Page {
    State state = State::Free;
    uint32_t references = 0;
    StepId restsUntil = 0; ///< the last step that may touch it
    PageId newer = kNone, older = kNone;
  };
  struct Resting {
    PageId page;
    StepId step;
  };

  PageAllocator(PrefixIndex index, uint32_t numPages);
  Page &at(PageId page) { return pages_[size_t(page)]; }
  void settle(PageId page);
  void makeFree(PageId page);
  void link(PageId page);
  void unlink(PageId page);
  PageId evict();

  std::vector<Page> pages_;
  std::vector<PageId> free_;    ///< the last one goes first
  std::deque<Resting> waiting_; ///< resting pages by step; stale where a page was taken up again
  PageId newest_ = kNone, oldest_ = kNone; ///< of the cached pages
  uint32_t cached_ = 0, resting_ = 0;
  StepId begun_ = 0, ended_ = 0;
  PrefixIndex index_;
  std::function<void(PageId)> onFree_;
};

} // namespace sinter
