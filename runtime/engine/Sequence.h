//===- Sequence.h - tokens and the pages that cache them --------*- C++ -*-===//
#pragma once

#include "runtime/engine/PageAllocator.h"

#include <cstdint>
#include <vector>

namespace sinter {

/// One sequence of tokens. K and V of positions [0, cached()) are in its pages; positions
/// [cached(), tokens().size()) wait to be run. Position p lives in pages()[p / pageSize].
///
///   [0, sharedEnd())       pages found in the prefix cache or shared by a fork: never written.
///                          cached() may lie one token below the end, as a step needs a token to
///                          compute: it runs again and writes nowhere.
///   [sharedEnd(), ...)     pages of its own
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
  uint32_t sharedEnd() const { return sharedEnd_; }
  uint32_t pageSize() const { return pageSize_; }
  uint32_t waiting() const { return uint32_t(tokens_.size()) - cached_; }

  /// Where K and V of a position go, page * pageSize + offset; -1: nowhere, they are there already.
  int32_t slot(uint32_t position) const;
  /// Whether the next `count` tokens can be written without touching a page that others read.
  bool mayWrite(uint32_t count) const;

  void append(int32_t token) { tokens_.push_back(token); }
  void append(const std::vector<int32_t> &tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }
  /// Drops the tokens from `length` on, which must not reach into published pages.
  void truncate(uint32_t length);

  /// Owns pages for the next `count` waiting tokens, or ResourceExhausted and no change.
  Status reserve(uint32_t count);
  /// Pages that reserve(count) would take.
  uint32_t pagesMissing(uint32_t count) const;
  /// The step that cached the next `count` tokens has succeeded.
  void advance(uint32_t count) { cached_ += count; }

  /// Takes the pages that the prefix cache has of the tokens, for a sequence without pages. At
  /// least one token is left to run. Returns how many are not.
  uint32_t adopt(const PrefixNode &root);
  /// Enters the pages filled since the last time into the prefix cache, under the root of the last
  /// adopt(). To be called only when the steps that filled them have succeeded.
  void publish();

  /// A sequence with the same tokens that shares this one's full pages. Tokens of a page that is
  /// not full are run again: a shared page is never written. At least one token is left to run.
  Sequence fork() const;

  /// Gives all pages back; the tokens stay and would be run again.
  void releasePages();

private:
  PageAllocator *allocator_;
  uint32_t pageSize_;
  uint32_t cached_ = 0;
  uint32_t sharedEnd_ = 0;
  uint32_t published_ = 0; ///< pages whose prefix ends at node_
  PrefixNode root_, node_;
  std::vector<int32_t> tokens_;
  std::vector<PageId> pages_;
};

} // namespace sinter
