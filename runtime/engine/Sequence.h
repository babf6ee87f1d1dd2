//===- Sequence.h - tokens and the pages that cache them --------*- C++ -*-===//
#pragma once

#include "runtime/engine/PageAllocator.h"

#include <cstdint>
#include <vector>

namespace sinter {

/// One sequence of tokens. K and V of positions [0, cached()) are in its pages; positions
/// [cached(), tokens().size()) wait to be run. Position p lives in pages()[p / pageSize].
class Sequence {
public:
  Sequence(PageAllocator &allocator, uint32_t pageSize)
      : allocator_(&allocator), pageSize_(pageSize) {}
  Sequence(Sequence &&other) noexcept;
  Sequence &operator=(Sequence &&other) noexcept;
  Sequence(const Sequence &) = delete;
  Sequence &operator=(const Sequence &) = delete;
  ~Sequence() { releasePages(); }

  const std::vector<int32_t> &tokens() const { return tokens_; }
  const std::vector<PageId> &pages() const { return pages_; }
  uint32_t cached() const { return cached_; }
  uint32_t pageSize() const { return pageSize_; }
  uint32_t waiting() const { return uint32_t(tokens_.size()) - cached_; }

  void append(int32_t token) { tokens_.push_back(token); }
  void append(const std::vector<int32_t> &tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }

  /// Owns pages for the next `count` waiting tokens, or ResourceExhausted and no change.
  Status reserve(uint32_t count);
  /// The step that cached the next `count` tokens has succeeded.
  void advance(uint32_t count) { cached_ += count; }

  /// A sequence with the same tokens that shares this one's full pages. Tokens of a page that is
  /// not full are run again: a shared page is never written. At least one token is left to run.
  Sequence fork() const;

  /// Gives all pages back; the tokens stay and would be run again.
  void releasePages();

private:
  PageAllocator *allocator_;
  uint32_t pageSize_;
  uint32_t cached_ = 0;
  std::vector<int32_t> tokens_;
  std::vector<PageId> pages_;
};

} // namespace sinter
