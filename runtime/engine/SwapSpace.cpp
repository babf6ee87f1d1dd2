//===- SwapSpace.cpp ------------------------------------------------------===//
#include "runtime/engine/SwapSpace.h"

namespace sinter {

SwappedPages::~SwappedPages() {
  if (space_)
    space_->used_ -= pages_;
}

uint32_t SwapSpace::pagesOf(const Sequence &sequence) {
  return (sequence.cached() + sequence.pageSize() - 1) / sequence.pageSize();
}

Result<SwappedPages> SwapSpace::save(const Sequence &sequence) {
  const uint64_t bytes = memory_.pageBytes();
  const uint32_t pages = pagesOf(sequence);
  used_ += pages;
  SwappedPages saved(*this, pages, sequence.cached(), bytes);
  for (size_t i = 0; i < pages; ++i)
    SINTER_RETURN_IF_ERROR(memory_.savePage(sequence.pages()[i], saved.bytes_.get() + i * bytes));
  return saved;
}

Status SwapSpace::restore(const SwappedPages &saved, Sequence &sequence) {
  if (saved.tokens_ <= sequence.cached())
    return Status::ok();
  const uint64_t bytes = memory_.pageBytes();
  const uint32_t missing = saved.tokens_ - sequence.cached();
  SINTER_RETURN_IF_ERROR(sequence.reserve(missing));
  for (size_t i = sequence.sharedEnd() / sequence.pageSize(); i < saved.pages_; ++i)
    SINTER_RETURN_IF_ERROR(
        memory_.restorePage(sequence.pages()[i], saved.bytes_.get() + i * bytes));
  sequence.advance(missing);
  return Status::ok();
}

} // namespace sinter
