//===- Sequence.h - tokens and the pages that cache them --------*- C++ -*-===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/engine/PageAllocator.h"

#include <cstdint>
#include <vector>

namespace sinter {

/// In a block table and among a sequence's pages: the page has been given back.
constexpr PageId kNoPage = -1;

/// One sequence of tokens. K and V of positions [0, cached()) are in its pages; positions
/// [cached(), tokens().size()) wait to be run. Position p lives in pages()[p / pageSize].
///
/// Where every layer has a window, of which `window` is the largest, a token at position p sees
/// (p - window, p]. Pages of which the next token sees nothing may be given back; kNoPage stands in
/// their places, and K and V of positions from dropped() * pageSize() on are there:
///
///   dropped() * pageSize() <= max(0, cached() - window + 1)
///
///   [0, sharedEnd())       pages found in the prefix cache or shared by a fork: never written.
///                          cached() may lie one token below the end, as a step needs a token to
///                          compute: it runs again and writes nowhere.
///   [sharedEnd(), ...)     pages of its own
class Sequence {
public:
  /// `window` in tokens; 0: every token sees all before it.
  Sequence(PageAllocator &allocator, uint32_t pageSize, uint64_t window = 0)
      : allocator_(&allocator), pageSize_(pageSize), window_(window) {}
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
  /// Pages at the front that were given back, and those it has.
  uint32_t dropped() const { return dropped_; }
  uint32_t heldPages() const { return uint32_t(pages_.size()) - dropped_; }
  bool hasWindow() const { return window_ != 0; }
  uint32_t waiting() const { return uint32_t(tokens_.size()) - cached_; }

  /// Where K and V of a position go, page * pageSize + offset; -1: nowhere, they are there already.
  int32_t slot(uint32_t position) const;
  /// Whether the next `count` tokens can be written without touching a page that others read.
  bool mayWrite(uint32_t count) const;

  void append(int32_t token) { tokens_.push_back(token); }
  /// Says which token stands at `index`, of which only the step that computes it was known.
  void settle(size_t index, int32_t token) { tokens_[index] = token; }
  void append(const std::vector<int32_t> &tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }
  /// Drops the tokens from `length` on, which must not reach into published pages, nor so far that
  /// the next token would see dropped ones.
  void truncate(uint32_t length);

  /// Owns pages for the next `count` waiting tokens, or ResourceExhausted and no change.
  Status reserve(uint32_t count);
  /// Pages that reserve(count) would take.
  uint32_t pagesMissing(uint32_t count) const;
  /// How many waiting tokens there is room for with so many pages more.
  uint32_t reach(uint32_t pages) const;
  /// The most pages beside those it has that it ever takes to run all waiting tokens in steps of
  /// `chunk`, with dropUnseen() after each.
  uint32_t pagesToRun(uint32_t chunk) const;
  /// The step that cached the next `count` tokens has succeeded.
  void advance(uint32_t count) { cached_ += count; }
  /// Gives back the pages of which no token from cached() on sees anything. A step in flight may
  /// still read them.
  void dropUnseen();
  /// Says that K and V of positions [cached(), end) will come from elsewhere, as far as the window
  /// sees them, and owns pages for those; or ResourceExhausted.
  Status resume(uint32_t end);

  /// Takes the pages that the prefix cache has of the tokens, for a sequence without pages. At
  /// least one token is left to run. Returns how many are not.
  uint32_t adopt(const PrefixNode &root);
  /// Enters the pages filled since the last time into the prefix cache, under the root of the last
  /// adopt(). To be called only when the steps that filled them have succeeded.
  void publish();

  /// A sequence with the same tokens that shares this one's full pages. Tokens of a page that is
  /// not full are run again: a shared page is never written. At least one token is left to run, and
  /// all of them where the first of those would see dropped pages.
  Sequence fork() const;

  /// Gives all pages back; the tokens stay and would be run again.
  void releasePages();

  /// Describes a contradiction between its pages and what its next token sees.
  Status checkIntegrity() const;

private:
  /// Pages before the first that a token at `position` sees.
  uint32_t pagesBefore(uint32_t position) const;

  PageAllocator *allocator_;
  uint32_t pageSize_;
  uint64_t window_;
  uint32_t cached_ = 0;
  uint32_t dropped_ = 0; ///< pages_[0 .. dropped_) are kNoPage
  uint32_t sharedEnd_ = 0;
  uint32_t published_ = 0; ///< pages whose prefix ends at node_
  PrefixNode root_, node_;
  std::vector<int32_t> tokens_;
  std::vector<PageId> pages_;
};

} // namespace sinter
