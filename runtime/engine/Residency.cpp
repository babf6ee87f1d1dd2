//===- Residency.cpp ------------------------------------------------------===//
#include "runtime/engine/Residency.h"

#include <algorithm>

namespace sinter {

Residency::Residency(Executor &executor, PageAllocator &allocator, const PreemptionCosts &costs)
    : executor_(executor), allocator_(allocator), costs_(costs), swap_(executor, costs.swapBytes) {
  const std::vector<EntryPlan> &entries = executor.manifest().entries;
  const auto largest =
      std::max_element(entries.begin(), entries.end(), [](const EntryPlan &a, const EntryPlan &b) {
        return a.maxTokens < b.maxTokens;
      });
  for (const OpPlan &op : largest->schedule)
    operationsPerToken_ += double(op.flopsPerToken);
}

bool Residency::prefersSwap(uint32_t pages, uint32_t tokens) const {
  const double swap =
      2.0 * pages * double(executor_.manifest().kv.pageBytes) / costs_.bytesPerSecond;
  return swap < double(tokens) * operationsPerToken_ / costs_.operationsPerSecond;
}

Status Residency::restore(Sample &sample) {
  Sequence &sequence = sample.sequence;
  if (sample.swapped && sample.swappedTokens > sequence.cached()) {
    const uint32_t missing = sample.swappedTokens - sequence.cached();
    SINTER_RETURN_IF_ERROR(sequence.reserve(missing));
    const uint32_t shared = sequence.sharedEnd() / sequence.pageSize();
    if (shared < sample.swapped->pages())
      SINTER_RETURN_IF_ERROR(swap_.restore(
          *sample.swapped, shared,
          std::span(sequence.pages()).subspan(shared, sample.swapped->pages() - shared)));
    sequence.advance(missing);
  }
  sample.swapped.reset();
  return Status::ok();
}

Status Residency::leave(Sample &sample) {
  Sequence &sequence = sample.sequence;
  sample.dropDraft();
  const uint32_t tokens = sequence.cached();
  const uint32_t pages = (tokens + sequence.pageSize() - 1) / sequence.pageSize();
  if (pages > 0 && swap_.hasRoom(pages) && prefersSwap(pages, tokens)) {
    SINTER_ASSIGN_OR_RETURN(sample.swapped, swap_.save(std::span(sequence.pages()).first(pages)));
    sample.swappedTokens = tokens;
    everSwapped_ += pages;
  }
  sequence.releasePages();
  return Status::ok();
}

} // namespace sinter
