//===- SwapSpace.cpp ------------------------------------------------------===//
#include "runtime/engine/SwapSpace.h"

namespace sinter {

SwappedPages::~SwappedPages() {
  if (space_)
    space_->used_ -= pages_;
}

Result<SwappedPages> SwapSpace::save(std::span<const PageId> pages) {
  const uint64_t bytes = executor_.manifest().kv.pageBytes;
  used_ += pages.size();
  SwappedPages saved(*this, uint32_t(pages.size()), bytes);
  for (size_t i = 0; i < pages.size(); ++i)
    SINTER_RETURN_IF_ERROR(executor_.savePage(pages[i], saved.bytes_.get() + i * bytes));
  return saved;
}

Status SwapSpace::restore(const SwappedPages &saved, uint32_t first, std::span<const PageId> to) {
  const uint64_t bytes = executor_.manifest().kv.pageBytes;
  for (size_t i = 0; i < to.size(); ++i)
    SINTER_RETURN_IF_ERROR(executor_.restorePage(to[i], saved.bytes_.get() + (first + i) * bytes));
  return Status::ok();
}

} // namespace sinter
