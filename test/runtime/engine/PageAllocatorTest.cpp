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

} // namespace
} // namespace sinter
