//===- PagesWorld.cpp -----------------------------------------------------===//
#include "test/runtime/engine/PagesWorld.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

namespace sinter::test {
namespace {

constexpr uint64_t kPoison = 0, kGarbage = 1;
/// Where few bits of the hash are left, most prefixes collide and only token ids tell them apart.
constexpr std::array<uint64_t, 3> kHashMasks = {~uint64_t(0), 15, 3};
/// In tokens: none, a token alone, less than a page, whole pages and more.
constexpr std::array<uint32_t, 5> kWindows = {0, 1, 2, 3, 7};

uint64_t extend(uint64_t hash, int32_t token) {
  hash = (hash ^ uint64_t(uint32_t(token) + 1)) * 0x9e3779b97f4a7c15u;
  return (hash ^ (hash >> 29)) | 2; // neither poison nor garbage
}

std::string saltOf(uint8_t arg) { return arg & 128 ? "salt" : ""; }

} // namespace

PagesWorld::PagesWorld(uint64_t seed, Misuse misuse)
    : misuse_(misuse), window_(kWindows[seed / kHashMasks.size() % kWindows.size()]),
      allocator_(kPages, seed, kHashMasks[seed % kHashMasks.size()]),
      cells_(kPages * kPageSize, kPoison), swap_(*this, kSwapPages * kPageSize * sizeof(uint64_t)),
      slots_(kSequences) {
  allocator_.setOnFree([this](PageId page) {
    std::fill_n(cells_.begin() + page * int(kPageSize), kPageSize, kPoison);
  });
}

void PagesWorld::start(Slot &slot, uint8_t arg) {
  if (slot.sequence)
    return;
  slot.sequence.emplace(allocator_, kPageSize, window_);
  slot.root = prefixRoot(saltOf(arg));
  ++slot.generation;
  slot.inFlight = false;
  // Few distinct prompts, of which many are prefixes of others; the salt is part of none.
  for (uint32_t i = 0; i < 1 + arg % 11u; ++i)
    slot.sequence->append(int32_t((arg >> 4 & 3) == 3 ? i % 2 : i == (arg >> 4 & 3u) * 4u));
  const uint32_t found = slot.sequence->adopt(slot.root);
  seen_.hits += found > 0;
  seen_.rewrittenNowhere += found < slot.sequence->sharedEnd();
}

void PagesWorld::commit(Slot &slot, uint32_t count) {
  slot.sequence->advance(count);
  slot.sequence->publish();
}

void PagesWorld::drop(Slot &slot) {
  const uint32_t before = slot.sequence->dropped();
  slot.sequence->dropUnseen();
  seen_.dropped += slot.sequence->dropped() - before;
  seen_.droppedInFlight += steps_.empty() ? 0 : slot.sequence->dropped() - before;
}

void PagesWorld::begin(uint8_t mask, uint8_t arg) {
  if (steps_.size() >= 2)
    return;
  Step step;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot &slot = slots_[i];
    if (!slot.sequence || slot.swapped || slot.inFlight || !(mask >> i & 1) ||
        slot.sequence->waiting() == 0)
      continue;
    Sequence &sequence = *slot.sequence;
    const uint32_t count = std::min<uint32_t>(sequence.waiting(), 1 + arg % 5);
    const bool evicts = sequence.pagesMissing(count) > allocator_.freePages();
    if (!sequence.reserve(count))
      continue;
    seen_.evictions += evicts;
    Item item = {i, slot.generation, sequence.cached(), count, sequence.tokens(), {}, {}};
    for (uint32_t p = item.first; p < item.first + count; ++p)
      item.cells.push_back(misuse_ == Misuse::WriteSharedPages
                               ? sequence.pages()[p / kPageSize] * int32_t(kPageSize) +
                                     int32_t(p % kPageSize)
                               : sequence.slot(p));
    item.pages = sequence.pages();
    slot.inFlight = true;
    step.items.push_back(std::move(item));
  }
  if (step.items.empty())
    return;
  step.id = allocator_.beginStep();
  if (misuse_ == Misuse::EndStepsEarly)
    allocator_.endStep(step.id);
  if (misuse_ == Misuse::PublishEarly)
    for (const Item &item : step.items)
      commit(slots_[item.slot], item.count);
  steps_.push_back(std::move(step));
}

/// The kernels read as late as they can: at the step's end.
std::string PagesWorld::read(size_t slot, const std::vector<int32_t> &tokens,
                             const std::vector<PageId> &pages, uint32_t next,
                             uint32_t count) const {
  uint64_t hash = kGarbage;
  const uint32_t seen = window_ && next >= window_ ? next + 1 - window_ : 0;
  for (uint32_t p = 0; p < count; ++p) {
    hash = extend(hash, tokens[p]);
    if (p < seen)
      continue;
    const PageId page = pages[p / kPageSize];
    if (page == kNoPage)
      return "sequence " + std::to_string(slot) + " has no page for position " + std::to_string(p);
    if (cells_[size_t(page) * kPageSize + p % kPageSize] != hash)
      return "sequence " + std::to_string(slot) + " reads something else at position " +
             std::to_string(p) + " in page " + std::to_string(page);
  }
  return {};
}

std::string PagesWorld::end(bool success) {
  if (steps_.empty())
    return {};
  const Step step = std::move(steps_.front());
  steps_.pop_front();
  seen_.failures += !success;
  for (const Item &item : step.items) {
    uint64_t hash = kGarbage;
    for (uint32_t p = 0; p < item.first + item.count; ++p) {
      hash = extend(hash, item.tokens[p]);
      if (p >= item.first && item.cells[p - item.first] >= 0)
        cells_[size_t(item.cells[p - item.first])] = success ? hash : kGarbage;
    }
  }
  std::string wrong;
  for (const Item &item : step.items) {
    if (success && wrong.empty())
      wrong = read(item.slot, item.tokens, item.pages, item.first, item.first + item.count);
    Slot &slot = slots_[item.slot];
    if (!slot.sequence || slot.generation != item.generation)
      continue;
    slot.inFlight = false;
    if ((success && misuse_ != Misuse::PublishEarly) || misuse_ == Misuse::CountFailedSteps)
      commit(slot, item.count);
  }
  if (misuse_ != Misuse::EndStepsEarly)
    allocator_.endStep(step.id);
  return wrong;
}

Status PagesWorld::savePage(PageId page, void *to) {
  std::memcpy(to, &cells_[size_t(page) * kPageSize], pageBytes());
  return Status::ok();
}

Status PagesWorld::restorePage(PageId page, const void *from) {
  std::memcpy(&cells_[size_t(page) * kPageSize], from, pageBytes());
  return Status::ok();
}

/// Also while a step writes behind what is cached: its tokens are lost then.
void PagesWorld::swapOut(Slot &slot) {
  if (!slot.sequence || slot.swapped || slot.sequence->cached() == 0 ||
      !swap_.hasRoom(SwapSpace::pagesOf(*slot.sequence)))
    return;
  ++seen_.swappedOut;
  seen_.swappedOutInFlight += slot.inFlight;
  slot.swapped.emplace(*swap_.save(*slot.sequence));
  slot.sequence->releasePages();
  ++slot.generation;
  slot.inFlight = false;
}

std::string PagesWorld::swapIn(Slot &slot) {
  if (!slot.swapped)
    return {};
  Sequence &sequence = *slot.sequence;
  const bool found = sequence.adopt(slot.root) > 0;
  const uint32_t tokens = std::max(slot.swapped->tokens(), sequence.cached());
  const uint32_t missing = tokens - sequence.cached();
  if (sequence.pagesMissing(missing) > allocator_.availablePages()) {
    sequence.releasePages();
    return {};
  }
  ++seen_.swappedIn;
  seen_.swappedInInFlight += !steps_.empty();
  seen_.swappedBehindHits += found && missing > 0;
  if (misuse_ == Misuse::SwapInNothing && missing > 0)
    (void)sequence.resume(tokens);
  if (const Status status = swap_.restore(*slot.swapped, sequence); !status)
    return status.message();
  slot.swapped.reset();
  if (sequence.cached() != tokens)
    return "another number of tokens came back";
  return read(size_t(&slot - slots_.data()), sequence.tokens(), sequence.pages(), tokens, tokens);
}

std::string PagesWorld::checkBooks() const {
  if (const Status status = allocator_.checkIntegrity(); !status)
    return status.message();
  std::array<uint32_t, kPages> owners = {};
  for (const Slot &slot : slots_)
    if (slot.sequence) {
      if (const Status status = slot.sequence->checkIntegrity(); !status)
        return status.message();
      for (const PageId page : slot.sequence->pages())
        if (page != kNoPage)
          ++owners[size_t(page)];
    }
  uint32_t owned = 0;
  for (PageId page = 0; page < PageId(kPages); ++page) {
    owned += owners[size_t(page)] > 0;
    if (allocator_.references(page) != owners[size_t(page)])
      return "page " + std::to_string(page) + " has another number of owners";
  }
  if (owned != allocator_.ownedPages())
    return "another number of pages is owned";
  uint64_t swapped = 0;
  for (const Slot &slot : slots_)
    swapped += slot.swapped ? slot.swapped->pages() : 0;
  if (swapped != swap_.usedPages() || swapped > kSwapPages)
    return "another number of pages is swapped out";
  return {};
}

std::string PagesWorld::run(const PageOp &op) {
  Slot &slot = slots_[op.which % kSequences];
  std::string wrong;
  switch (op.kind) {
  case PageOp::Start:
    start(slot, op.arg);
    break;
  case PageOp::Begin:
    begin(op.which, op.arg);
    break;
  case PageOp::Succeed:
  case PageOp::Fail:
    wrong = end(op.kind == PageOp::Succeed);
    break;
  case PageOp::Release:
    seen_.releasedInFlight += slot.sequence && slot.inFlight;
    slot.swapped.reset();
    slot.sequence.reset();
    break;
  case PageOp::Fork:
    if (Slot &to = slots_[op.arg % kSequences]; slot.sequence && !slot.swapped && !to.sequence) {
      to.sequence.emplace(slot.sequence->fork());
      to.root = slot.root;
      ++to.generation;
      to.inFlight = false;
    }
    break;
  case PageOp::Append:
    if (slot.sequence && slot.sequence->tokens().size() < kMaxLength)
      slot.sequence->append(op.arg & 1);
    break;
  case PageOp::Truncate:
    if (slot.sequence && !slot.swapped && !slot.inFlight) {
      const uint32_t least = std::max(
          {slot.sequence->cached() / kPageSize * kPageSize, slot.sequence->sharedEnd(), 1u,
           slot.sequence->dropped() ? slot.sequence->dropped() * kPageSize + window_ - 1 : 0});
      const auto length = uint32_t(slot.sequence->tokens().size());
      slot.sequence->truncate(std::max(least, length - std::min<uint32_t>(length, op.arg % 3)));
    }
    break;
  case PageOp::SwapOut:
    swapOut(slot);
    break;
  case PageOp::SwapIn:
    wrong = swapIn(slot);
    break;
  case PageOp::Drop: // in flight, too: it has seen what the step's first token sees
    if (slot.sequence)
      drop(slot);
    break;
  default:
    break;
  }
  return wrong.empty() ? checkBooks() : wrong;
}

std::vector<PageOp> randomOps(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  constexpr std::array<PageOp::Kind, 20> kMix = {
      PageOp::Start,  PageOp::Start,   PageOp::Start,   PageOp::Begin,   PageOp::Begin,
      PageOp::Begin,  PageOp::Begin,   PageOp::Succeed, PageOp::Succeed, PageOp::Fail,
      PageOp::Append, PageOp::Append,  PageOp::Release, PageOp::Release, PageOp::Fork,
      PageOp::Drop,   PageOp::SwapOut, PageOp::SwapIn,  PageOp::SwapIn,  PageOp::Truncate};
  std::vector<PageOp> ops(count);
  for (PageOp &op : ops) {
    const uint64_t bits = random();
    op = {kMix[bits % kMix.size()], uint8_t(bits >> 8), uint8_t(bits >> 16)};
  }
  return ops;
}

std::string runOps(const std::vector<PageOp> &ops, uint64_t seed, Misuse misuse, size_t &failedAt,
                   PagesWorld::Seen *seen) {
  PagesWorld world(seed, misuse);
  std::string wrong;
  for (failedAt = 0; failedAt < ops.size() && wrong.empty(); ++failedAt)
    wrong = world.run(ops[failedAt]);
  if (seen) {
    seen->dropped += world.seen().dropped;
    seen->droppedInFlight += world.seen().droppedInFlight;
    seen->hits += world.seen().hits;
    seen->rewrittenNowhere += world.seen().rewrittenNowhere;
    seen->releasedInFlight += world.seen().releasedInFlight;
    seen->evictions += world.seen().evictions;
    seen->failures += world.seen().failures;
    seen->swappedOut += world.seen().swappedOut;
    seen->swappedOutInFlight += world.seen().swappedOutInFlight;
    seen->swappedIn += world.seen().swappedIn;
    seen->swappedInInFlight += world.seen().swappedInInFlight;
    seen->swappedBehindHits += world.seen().swappedBehindHits;
  }
  return wrong;
}

std::vector<PageOp> shrink(std::vector<PageOp> ops, uint64_t seed, Misuse misuse) {
  size_t failedAt = 0;
  for (size_t piece = ops.size(); piece > 0; piece /= 2)
    for (size_t at = 0; at < ops.size();) {
      std::vector<PageOp> fewer = ops;
      const auto first = fewer.begin() + ptrdiff_t(at);
      fewer.erase(first, first + ptrdiff_t(std::min(piece, fewer.size() - at)));
      if (runOps(fewer, seed, misuse, failedAt).empty())
        at += piece;
      else
        ops = std::move(fewer);
    }
  return ops;
}

std::string toText(const std::vector<PageOp> &ops) {
  constexpr std::array<const char *, PageOp::kKinds> kNames = {
      "start",  "begin",    "succeed",  "fail",    "release", "fork",
      "append", "truncate", "swap-out", "swap-in", "drop"};
  std::string text;
  for (const PageOp &op : ops)
    text += std::string(kNames[op.kind]) + " " + std::to_string(op.which) + " " +
            std::to_string(op.arg) + "\n";
  return text;
}

} // namespace sinter::test
