//===- Sequence.cpp -------------------------------------------------------===//
#include "runtime/engine/Sequence.h"

#include <algorithm>
#include <utility>

namespace sinter {

Sequence::Sequence(Sequence &&other) noexcept
    : allocator_(other.allocator_), pageSize_(other.pageSize_),
      cached_(std::exchange(other.cached_, 0)), tokens_(std::move(other.tokens_)),
      pages_(std::exchange(other.pages_, {})) {}

Sequence &Sequence::operator=(Sequence &&other) noexcept {
  std::swap(allocator_, other.allocator_);
  std::swap(pageSize_, other.pageSize_);
  std::swap(cached_, other.cached_);
  std::swap(tokens_, other.tokens_);
  std::swap(pages_, other.pages_);
  return *this;
}

Status Sequence::reserve(uint32_t count) {
  const uint64_t positions = uint64_t(cached_) + count;
  const uint64_t needed = (positions + pageSize_ - 1) / pageSize_;
  if (needed <= pages_.size())
    return Status::ok();
  if (needed - pages_.size() > allocator_->freePages())
    return resourceExhausted("the KV cache is full (" + std::to_string(allocator_->numPages()) +
                             " pages of " + std::to_string(pageSize_) + " tokens): position " +
                             std::to_string(positions - 1) + " has no page");
  while (pages_.size() < needed)
    pages_.push_back(*allocator_->allocate());
  return Status::ok();
}

Sequence Sequence::fork() const {
  Sequence copy(*allocator_, pageSize_);
  copy.tokens_ = tokens_;
  const uint32_t last = tokens_.empty() ? 0 : uint32_t(tokens_.size()) - 1;
  const uint32_t shared = std::min(cached_, last) / pageSize_;
  for (uint32_t i = 0; i < shared; ++i) {
    allocator_->share(pages_[i]);
    copy.pages_.push_back(pages_[i]);
  }
  copy.cached_ = shared * pageSize_;
  return copy;
}

void Sequence::releasePages() {
  for (const PageId page : pages_)
    allocator_->release(page);
  pages_.clear();
  cached_ = 0;
}

} // namespace sinter
