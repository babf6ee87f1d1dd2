//===- PageAllocator.cpp --------------------------------------------------===//
#include "runtime/engine/PageAllocator.h"

#include "sinter/Support/Philox.h"

#include <cassert>
#include <utility>

namespace sinter {

PageAllocator::PageAllocator(PrefixIndex index, uint32_t numPages)
    : pages_(numPages), index_(std::move(index)) {
  for (uint32_t i = numPages; i-- > 0;)
    free_.push_back(PageId(i));
}

PageAllocator::PageAllocator(uint32_t numPages) : PageAllocator(PrefixIndex(numPages), numPages) {}

PageAllocator::PageAllocator(uint32_t numPages, uint64_t shuffleSeed, uint64_t hashMask)
    : PageAllocator(PrefixIndex(numPages, hashMask), numPages) {
  for (uint32_t i = numPages; i > 1; --i)
    std::swap(free_[i - 1], free_[philoxBlock(shuffleSeed, i, 0)[0] % i]);
}

void PageAllocator::makeFree(PageId page) {
  at(page).state = State::Free;
  free_.push_back(page);
  if (onFree_)
    onFree_(page);
}

void PageAllocator::link(PageId page) {
  Page &added = at(page);
  added.state = State::Cached;
  added.newer = kNone;
  added.older = newest_;
  (newest_ == kNone ? oldest_ : at(newest_).newer) = page;
  newest_ = page;
  ++cached_;
}

void PageAllocator::unlink(PageId page) {
  const Page &gone = at(page);
  (gone.newer == kNone ? newest_ : at(gone.newer).older) = gone.older;
  (gone.older == kNone ? oldest_ : at(gone.older).newer) = gone.newer;
  --cached_;
}

/// Where a page goes that no owner and no step needs any more.
void PageAllocator::settle(PageId page) {
  if (index_.contains(page))
    link(page);
  else
    makeFree(page);
}

PageId PageAllocator::evict() {
  const PageId page = oldest_;
  unlink(page);
  index_.remove(page);
  if (onFree_)
    onFree_(page);
  return page;
}

std::optional<PageId> PageAllocator::allocate() {
  PageId page = kNone;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (cached_ > 0) {
    page = evict();
  } else {
    return std::nullopt;
  }
  at(page).state = State::Owned;
  at(page).references = 1;
  return page;
}

void PageAllocator::share(PageId page) {
  assert(at(page).references > 0 && "only an owned page can be shared");
  ++at(page).references;
}

void PageAllocator::release(PageId page) {
  Page &released = at(page);
  assert(released.references > 0 && "released more often than owned");
  if (--released.references > 0)
    return;
  if (begun_ == ended_)
    return settle(page);
  released.state = State::Resting;
  released.restsUntil = begun_;
  waiting_.push_back({page, begun_});
  ++resting_;
}

StepId PageAllocator::beginStep() { return ++begun_; }

void PageAllocator::endStep(StepId step) {
  assert(step == ended_ + 1 && step <= begun_ && "steps end in the order of their beginning");
  ended_ = step;
  while (!waiting_.empty() && waiting_.front().step <= ended_) {
    const Resting entry = waiting_.front();
    waiting_.pop_front();
    if (at(entry.page).state != State::Resting || at(entry.page).restsUntil != entry.step)
      continue; // taken up again in the meantime
    --resting_;
    settle(entry.page);
  }
}

std::optional<PrefixIndex::Hit> PageAllocator::acquire(const PrefixNode &before,
                                                       std::span<const int32_t> tokens) {
  const auto hit = index_.find(before, tokens);
  if (!hit)
    return std::nullopt;
  Page &page = at(hit->page);
  if (page.state == State::Cached)
    unlink(hit->page);
  else if (page.state == State::Resting)
    --resting_;
  page.state = State::Owned;
  ++page.references;
  return hit;
}

PrefixNode PageAllocator::publish(PageId page, const PrefixNode &before,
                                  std::span<const int32_t> tokens) {
  assert(at(page).references > 0 && "only an owned page can be published");
  const PrefixIndex::Added added = index_.add(before, tokens, page);
  if (added.displaced != kNone && at(added.displaced).state == State::Cached) {
    unlink(added.displaced);
    makeFree(added.displaced);
  }
  return added.node;
}

Status PageAllocator::checkIntegrity() const {
  auto wrong = [](PageId page, const char *what) {
    return internalError("page " + std::to_string(page) + " " + what);
  };
  std::vector<bool> seen(pages_.size(), false);
  auto visit = [&](PageId page, State state, const char *where) {
    if (page < 0 || size_t(page) >= pages_.size() || seen[size_t(page)])
      return wrong(page, "is listed twice or does not exist");
    seen[size_t(page)] = true;
    if (pages_[size_t(page)].state != state)
      return wrong(page, where);
    return Status::ok();
  };
  for (const PageId page : free_) {
    SINTER_RETURN_IF_ERROR(visit(page, State::Free, "is in the free list and not free"));
    if (index_.contains(page))
      return wrong(page, "is free and in the prefix cache");
  }
  uint32_t cached = 0, resting = 0;
  for (PageId page = oldest_; page != kNone; page = pages_[size_t(page)].newer, ++cached) {
    SINTER_RETURN_IF_ERROR(visit(page, State::Cached, "is among the cached pages and not cached"));
    if (!index_.contains(page))
      return wrong(page, "is cached and not in the prefix cache");
  }
  size_t published = 0;
  for (PageId id = 0; id < PageId(pages_.size()); ++id) {
    const Page &page = pages_[size_t(id)];
    published += index_.contains(id);
    resting += page.state == State::Resting;
    if ((page.state == State::Owned) != (page.references > 0))
      return wrong(id, "has owners and is not owned, or the other way round");
    if ((page.state == State::Free || page.state == State::Cached) && !seen[size_t(id)])
      return wrong(id, "is lost");
    if (page.state != State::Owned && page.restsUntil > ended_ && page.state != State::Resting)
      return wrong(id, "may be reused while a step in flight can touch it");
  }
  if (cached != cached_ || resting != resting_ || published != index_.size())
    return internalError("the pages are counted wrongly");
  return Status::ok();
}

} // namespace sinter
