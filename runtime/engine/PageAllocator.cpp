//===- PageAllocator.cpp --------------------------------------------------===//
#include "runtime/engine/PageAllocator.h"

#include "sinter/Support/Philox.h"

#include <cassert>

namespace sinter {

PageAllocator::PageAllocator(uint32_t numPages) : references_(numPages, 0) {
  for (uint32_t i = numPages; i-- > 0;)
    free_.push_back(PageId(i));
}

PageAllocator::PageAllocator(uint32_t numPages, uint64_t shuffleSeed) : PageAllocator(numPages) {
  for (uint32_t i = numPages; i > 1; --i)
    std::swap(free_[i - 1], free_[philoxBlock(shuffleSeed, i, 0)[0] % i]);
}

std::optional<PageId> PageAllocator::allocate() {
  if (free_.empty())
    return std::nullopt;
  const PageId page = free_.back();
  free_.pop_back();
  references_[size_t(page)] = 1;
  return page;
}

void PageAllocator::share(PageId page) {
  assert(references_[size_t(page)] > 0 && "only an owned page can be shared");
  ++references_[size_t(page)];
}

void PageAllocator::release(PageId page) {
  assert(references_[size_t(page)] > 0 && "released more often than owned");
  if (--references_[size_t(page)] == 0)
    free_.push_back(page);
}

Status PageAllocator::checkIntegrity() const {
  std::vector<bool> isFree(references_.size(), false);
  for (const PageId page : free_) {
    const std::string name = "page " + std::to_string(page);
    if (page < 0 || size_t(page) >= references_.size())
      return internalError(name + " in the free list does not exist");
    if (isFree[size_t(page)])
      return internalError(name + " is in the free list twice");
    if (references_[size_t(page)] != 0)
      return internalError(name + " is free and owned");
    isFree[size_t(page)] = true;
  }
  for (size_t page = 0; page < references_.size(); ++page)
    if (references_[page] == 0 && !isFree[page])
      return internalError("page " + std::to_string(page) + " is neither free nor owned");
  return Status::ok();
}

} // namespace sinter
