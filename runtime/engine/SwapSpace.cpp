//===- SwapSpace.cpp ------------------------------------------------------===//
#include "runtime/engine/SwapSpace.h"

#include <algorithm>

namespace sinter {

SwappedPages::~SwappedPages() {
  if (space_)
    space_->used_ -= pages_;
}

uint32_t SwapSpace::pagesOf(const Sequence &sequence) {
  return (sequence.cached() + sequence.pageSize() - 1) / sequence.pageSize() - sequence.dropped();
}

Result<SwappedPages> SwapSpace::save(const Sequence &sequence) {
  const uint64_t bytes = memory_.pageBytes();
  const uint32_t pages = pagesOf(sequence);
  used_ += pages;
  const uint32_t first = sequence.dropped();
  SwappedPages saved(*this, first, pages, sequence.cached(), bytes);
  for (size_t i = 0; i < pages; ++i)
    SINTER_RETURN_IF_ERROR(
        memory_.savePage(sequence.pages()[first + i], saved.bytes_.get() + i * bytes));
  return saved;
}

Status SwapSpace::restore(const SwappedPages &saved, Sequence &sequence) {
  if (saved.tokens_ <= sequence.cached())
    return Status::ok();
  const uint64_t bytes = memory_.pageBytes();
  SINTER_RETURN_IF_ERROR(sequence.resume(saved.tokens_));
  const uint32_t shared = sequence.sharedEnd() / sequence.pageSize();
  for (size_t i = std::max({saved.first_, shared, sequence.dropped()});
       i < saved.first_ + saved.pages_; ++i)
    SINTER_RETURN_IF_ERROR(
        memory_.restorePage(sequence.pages()[i], saved.bytes_.get() + (i - saved.first_) * bytes));
  return Status::ok();
}

} // namespace sinter
