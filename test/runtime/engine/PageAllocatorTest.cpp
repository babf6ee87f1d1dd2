//===- PageAllocatorTest.cpp ----------------------------------------------===//
#include "runtime/engine/PageAllocator.h"
#include "runtime/engine/Sequence.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <random>

namespace sinter {
namespace {

TEST(PageAllocator, HandsOutEveryPageOnce) {
  PageAllocator plain(4), shuffled(1000, 7);
  for (PageId expected = 0; expected < 4; ++expected)
    EXPECT_EQ(plain.allocate(), expected);
  EXPECT_EQ(plain.allocate(), std::nullopt);
  std::vector<PageId> pages;
  while (auto page = shuffled.allocate())
    pages.push_back(*page);
  EXPECT_FALSE(std::is_sorted(pages.begin(), pages.end()));
  std::sort(pages.begin(), pages.end());
  for (PageId i = 0; i < 1000; ++i)
    ASSERT_EQ(pages[size_t(i)], i);
  EXPECT_TRUE(shuffled.checkIntegrity().isOk());
}

// Random operations against the simplest book-keeping there is.
TEST(PageAllocator, AgreesWithAModel) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    constexpr uint32_t kPages = 17;
    PageAllocator allocator(kPages, seed);
    std::map<PageId, uint32_t> owned;
    auto any = [&] { return std::next(owned.begin(), ptrdiff_t(random() % owned.size())); };
    for (int step = 0; step < 5000; ++step) {
      const auto choice = random() % 4;
      if (choice <= 1) {
        const auto page = allocator.allocate();
        ASSERT_EQ(page.has_value(), owned.size() < kPages);
        if (page) {
          ASSERT_TRUE(owned.emplace(*page, 1).second) << "page " << *page << " handed out twice";
        }
      } else if (!owned.empty() && choice == 2) {
        const auto entry = any();
        allocator.share(entry->first);
        ++entry->second;
      } else if (!owned.empty()) {
        const auto entry = any();
        allocator.release(entry->first);
        if (--entry->second == 0)
          owned.erase(entry);
      }
      ASSERT_EQ(allocator.freePages(), kPages - owned.size());
      for (const auto &[page, references] : owned)
        ASSERT_EQ(allocator.references(page), references);
      const Status status = allocator.checkIntegrity();
      ASSERT_TRUE(status.isOk()) << status.message();
    }
  }
}

TEST(Sequence, ReservesWholePagesAndReturnsThem) {
  PageAllocator allocator(3);
  {
    Sequence sequence(allocator, 4);
    sequence.append(std::vector<int32_t>(13, 1));
    EXPECT_TRUE(sequence.reserve(4).isOk());
    EXPECT_EQ(sequence.pages().size(), 1u);
    EXPECT_TRUE(sequence.reserve(5).isOk());
    EXPECT_EQ(sequence.pages().size(), 2u);
    EXPECT_EQ(sequence.reserve(13).message(),
              "the KV cache is full (3 pages of 4 tokens): position 12 has no page");
    EXPECT_EQ(sequence.pages().size(), 2u) << "a refused reservation changes nothing";
  }
  EXPECT_EQ(allocator.freePages(), 3u);
  EXPECT_TRUE(allocator.checkIntegrity().isOk());
}

TEST(Sequence, ForkSharesFullPagesAndLeavesATokenToRun) {
  PageAllocator allocator(10);
  Sequence first(allocator, 4);
  first.append(std::vector<int32_t>(8, 1));
  ASSERT_TRUE(first.reserve(8).isOk());
  first.advance(8);
  {
    const Sequence second = first.fork();
    EXPECT_EQ(second.cached(), 4u) << "the page with the last token is run again";
    EXPECT_EQ(second.waiting(), 4u);
    EXPECT_EQ(allocator.references(first.pages()[0]), 2u);
    EXPECT_EQ(allocator.references(first.pages()[1]), 1u);
    first.append(5);
    const Sequence third = first.fork();
    EXPECT_EQ(third.cached(), 8u);
    EXPECT_EQ(third.waiting(), 1u);
    first.releasePages();
    EXPECT_EQ(allocator.freePages(), 8u);
  }
  EXPECT_EQ(allocator.freePages(), 10u);
  EXPECT_TRUE(allocator.checkIntegrity().isOk());
}

TEST(Sequence, APromptInTheCacheLeavesATokenThatWritesNowhere) {
  PageAllocator allocator(10);
  const PrefixNode root = prefixRoot("");
  {
    Sequence first(allocator, 4);
    first.append({1, 2, 3, 4, 5, 6, 7, 8, 9});
    EXPECT_EQ(first.adopt(root), 0u);
    ASSERT_TRUE(first.reserve(9).isOk());
    first.advance(9);
    first.publish();
  }
  EXPECT_EQ(allocator.cachedPages(), 2u);
  EXPECT_EQ(allocator.freePages(), 8u);
  Sequence whole(allocator, 4), longer(allocator, 4), other(allocator, 4);
  whole.append({1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(whole.adopt(root), 7u);
  EXPECT_EQ(whole.slot(7), -1);
  EXPECT_EQ(whole.pagesMissing(1), 0u);
  whole.advance(1);
  whole.append(9);
  EXPECT_EQ(whole.pagesMissing(1), 1u);
  longer.append({1, 2, 3, 4, 6, 6, 7, 8});
  EXPECT_EQ(longer.adopt(root), 4u);
  EXPECT_EQ(allocator.references(longer.pages()[0]), 2u);
  other.append({1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(other.adopt(prefixRoot("someone else's")), 0u);
}

TEST(PageAllocator, EvictsTheEndOfTheLongestUnusedPrefixFirst) {
  PageAllocator allocator(4);
  const PrefixNode root = prefixRoot("");
  auto run = [&](std::vector<int32_t> tokens) {
    Sequence sequence(allocator, 2);
    sequence.append(tokens);
    const uint32_t found = sequence.adopt(root);
    EXPECT_TRUE(sequence.reserve(sequence.waiting()).isOk());
    sequence.advance(sequence.waiting());
    sequence.publish();
    return found;
  };
  EXPECT_EQ(run({1, 1, 2, 2}), 0u);
  EXPECT_EQ(run({3, 3, 4, 4}), 0u);
  EXPECT_EQ(run({5, 5}), 0u);
  EXPECT_EQ(run({1, 1, 7}), 2u) << "the beginning is still there";
  EXPECT_EQ(run({3, 3, 4, 4, 8}), 2u) << "its end was the longest unused page then";
  EXPECT_EQ(allocator.ownedPages(), 0u);
}

} // namespace
} // namespace sinter
