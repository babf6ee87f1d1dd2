//===- Sequence.cpp -------------------------------------------------------===//
#include "runtime/engine/Sequence.h"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

namespace sinter {

Sequence::Sequence(Sequence &&other) noexcept
    : allocator_(other.allocator_), pageSize_(other.pageSize_), window_(other.window_),
      cached_(std::exchange(other.cached_, 0)), dropped_(std::exchange(other.dropped_, 0)),
      sharedEnd_(std::exchange(other.sharedEnd_, 0)),
      published_(std::exchange(other.published_, 0)), root_(other.root_), node_(other.node_),
      tokens_(std::move(other.tokens_)), pages_(std::exchange(other.pages_, {})) {}

Sequence &Sequence::operator=(Sequence &&other) noexcept {
  std::swap(allocator_, other.allocator_);
  std::swap(pageSize_, other.pageSize_);
  std::swap(window_, other.window_);
  std::swap(cached_, other.cached_);
  std::swap(dropped_, other.dropped_);
  std::swap(sharedEnd_, other.sharedEnd_);
  std::swap(published_, other.published_);
  std::swap(root_, other.root_);
  std::swap(node_, other.node_);
  std::swap(tokens_, other.tokens_);
  std::swap(pages_, other.pages_);
  return *this;
}

uint32_t Sequence::pagesBefore(uint32_t position) const {
  return window_ == 0 || position < window_ ? 0 : uint32_t((position + 1 - window_) / pageSize_);
}

int32_t Sequence::slot(uint32_t position) const {
  if (position < sharedEnd_)
    return -1;
  return int32_t(uint32_t(pages_[position / pageSize_]) * pageSize_ + position % pageSize_);
}

bool Sequence::mayWrite(uint32_t count) const {
  for (uint32_t position = std::max(cached_, sharedEnd_); position < cached_ + count;
       position = (position / pageSize_ + 1) * pageSize_)
    if (!allocator_->writable(pages_[position / pageSize_]))
      return false;
  return true;
}

void Sequence::truncate(uint32_t length) {
  assert(length >= published_ * pageSize_ && "published pages stay as they are");
  tokens_.resize(length);
  cached_ = std::min(cached_, length);
  assert(dropped_ <= pagesBefore(cached_) && "the next token sees pages that are gone");
}

uint32_t Sequence::pagesMissing(uint32_t count) const {
  const uint64_t needed = (uint64_t(cached_) + count + pageSize_ - 1) / pageSize_;
  return needed > pages_.size() ? uint32_t(needed - pages_.size()) : 0;
}

uint32_t Sequence::pagesToRun(uint32_t chunk) const {
  const uint32_t all = pagesMissing(waiting());
  if (window_ == 0)
    return all;
  const uint64_t most = pagesOfWindow(window_, chunk, pageSize_);
  return uint32_t(std::min<uint64_t>(all, most - std::min<uint64_t>(most, heldPages())));
}

uint32_t Sequence::reach(uint32_t pages) const {
  const uint64_t end = (pages_.size() + uint64_t(pages)) * pageSize_;
  return uint32_t(std::min<uint64_t>(end - cached_, waiting()));
}

void Sequence::dropUnseen() {
  for (; dropped_ < std::min<size_t>(pagesBefore(cached_), pages_.size()); ++dropped_)
    allocator_->release(std::exchange(pages_[dropped_], kNoPage));
}

Status Sequence::resume(uint32_t end) {
  cached_ = end;
  dropUnseen();
  while (pages_.size() < pagesBefore(end)) {
    pages_.push_back(kNoPage);
    ++dropped_;
  }
  return reserve(0);
}

Status Sequence::reserve(uint32_t count) {
  const uint32_t missing = pagesMissing(count);
  if (missing > allocator_->availablePages())
    return resourceExhausted("the KV cache is full (" + std::to_string(allocator_->numPages()) +
                             " pages of " + std::to_string(pageSize_) + " tokens): position " +
                             std::to_string(uint64_t(cached_) + count - 1) + " has no page");
  for (uint32_t i = 0; i < missing; ++i)
    pages_.push_back(*allocator_->allocate());
  return Status::ok();
}

uint32_t Sequence::adopt(const PrefixNode &root) {
  assert(pages_.empty() && "only a sequence without pages can adopt some");
  root_ = node_ = root;
  published_ = 0;
  const std::span<const int32_t> tokens = tokens_;
  for (; (published_ + 1) * pageSize_ <= tokens.size(); ++published_) {
    const auto hit = allocator_->acquire(node_, tokens.subspan(published_ * pageSize_, pageSize_));
    if (!hit)
      break;
    pages_.push_back(hit->page);
    node_ = hit->node;
  }
  sharedEnd_ = published_ * pageSize_;
  cached_ = std::min(sharedEnd_, tokens.empty() ? 0 : uint32_t(tokens.size()) - 1);
  dropUnseen();
  return cached_;
}

void Sequence::publish() {
  const std::span<const int32_t> tokens = tokens_;
  // After a page that was gone before it could be published nobody would find another.
  for (; (published_ + 1) * pageSize_ <= cached_ && pages_[published_] != kNoPage; ++published_)
    node_ = allocator_->publish(pages_[published_], node_,
                                tokens.subspan(published_ * pageSize_, pageSize_));
}

Sequence Sequence::fork() const {
  Sequence copy(*allocator_, pageSize_, window_);
  copy.tokens_ = tokens_;
  const uint32_t last = tokens_.empty() ? 0 : uint32_t(tokens_.size()) - 1;
  uint32_t shared = std::min(cached_, last) / pageSize_;
  if (dropped_ > pagesBefore(shared * pageSize_))
    shared = 0;
  copy.dropped_ = std::min(dropped_, shared);
  for (uint32_t i = 0; i < shared; ++i) {
    if (pages_[i] != kNoPage)
      allocator_->share(pages_[i]);
    copy.pages_.push_back(pages_[i]);
  }
  copy.cached_ = copy.sharedEnd_ = shared * pageSize_;
  copy.root_ = copy.node_ = root_; // what is published already is found again from the root
  return copy;
}

Status Sequence::checkIntegrity() const {
  for (size_t i = 0; i < pages_.size(); ++i)
    if ((pages_[i] == kNoPage) != (i < dropped_))
      return internalError("a sequence has lost a page or kept one that it dropped");
  if (dropped_ > pagesBefore(cached_))
    return internalError("a sequence has dropped a page that its next token sees");
  return Status::ok();
}

void Sequence::releasePages() {
  // The last first: of a prefix in the cache the end is to be evicted before the beginning.
  while (pages_.size() > dropped_) {
    allocator_->release(pages_.back());
    pages_.pop_back();
  }
  pages_.clear();
  cached_ = dropped_ = sharedEnd_ = published_ = 0;
  node_ = root_;
}

} // namespace sinter
