//===- PagesWorld.h - sequences over pages with a visible memory -*- C++ -*-===//
//
// Plays an engine of the simplest kind on a PageAllocator: every cell of the cache is one number,
// the hash of all tokens up to its position, so that a step can tell whether it reads what it
// should. Operations that make no sense at the moment do nothing: any part of a list of operations
// is a list of operations, and lists can be shrunk.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/engine/SwapSpace.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace sinter::test {

struct PageOp {
  enum Kind : uint8_t {
    Start,
    Begin,
    Succeed,
    Fail,
    Release,
    Fork,
    Append,
    Truncate,
    SwapOut,
    SwapIn,
    Drop,
    kKinds
  };
  Kind kind;
  uint8_t which;
  uint8_t arg;
};

/// Ways to use an allocator wrongly. The world must notice each.
enum class Misuse {
  None,
  EndStepsEarly,
  PublishEarly,
  WriteSharedPages,
  CountFailedSteps,
  SwapInNothing,
};

class PagesWorld final : private PageBytes {
public:
  PagesWorld(uint64_t seed, Misuse misuse);

  /// The first thing wrong after this operation; empty: nothing is.
  std::string run(const PageOp &op);

  /// What the run has seen, so that a test can tell that it tests something.
  struct Seen {
    uint64_t dropped = 0, droppedInFlight = 0, hits = 0, rewrittenNowhere = 0, releasedInFlight = 0,
             evictions = 0, failures = 0;
    uint64_t swappedOut = 0, swappedOutInFlight = 0, swappedIn = 0, swappedInInFlight = 0,
             swappedBehindHits = 0;
  };
  const Seen &seen() const { return seen_; }

private:
  static constexpr uint32_t kPages = 12, kPageSize = 3, kSequences = 6, kMaxLength = 16;
  static constexpr uint32_t kSwapPages = 8;

  struct Slot {
    std::optional<Sequence> sequence;
    PrefixNode root;
    std::optional<SwappedPages> swapped; ///< then the sequence has no pages and does not run
    uint64_t generation = 0;
    bool inFlight = false;
  };
  struct Item {
    size_t slot;
    uint64_t generation;
    uint32_t first, count;
    std::vector<int32_t> tokens, cells;
    std::vector<PageId> pages;
  };
  struct Step {
    StepId id;
    std::vector<Item> items;
  };

  void start(Slot &slot, uint8_t arg);
  void begin(uint8_t mask, uint8_t arg);
  std::string end(bool success);
  /// What is wrong with the cells of the first `count` tokens, as far as the one at `next` sees
  /// them; empty: nothing.
  std::string read(size_t slot, const std::vector<int32_t> &tokens,
                   const std::vector<PageId> &pages, uint32_t next, uint32_t count) const;
  void swapOut(Slot &slot);
  std::string swapIn(Slot &slot);
  uint64_t pageBytes() const override { return kPageSize * sizeof(uint64_t); }
  Status savePage(PageId page, void *to) override;
  Status restorePage(PageId page, const void *from) override;
  void commit(Slot &slot, uint32_t count);
  std::string checkBooks() const;
  void drop(Slot &slot);

  Misuse misuse_;
  uint32_t window_; ///< 0: none
  PageAllocator allocator_;
  std::vector<uint64_t> cells_;
  SwapSpace swap_;
  std::vector<Slot> slots_; ///< they give room back to swap_
  std::deque<Step> steps_;
  Seen seen_;
};

/// A random list of operations.
std::vector<PageOp> randomOps(uint64_t seed, size_t count);

/// Runs a list in a fresh world; the first thing wrong, `failedAt` the index of its operation.
std::string runOps(const std::vector<PageOp> &ops, uint64_t seed, Misuse misuse, size_t &failedAt,
                   PagesWorld::Seen *seen = nullptr);

/// A list of which no operation can be left out without the failure going away.
std::vector<PageOp> shrink(std::vector<PageOp> ops, uint64_t seed, Misuse misuse);

std::string toText(const std::vector<PageOp> &ops);

} // namespace sinter::test
