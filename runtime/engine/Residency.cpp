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
  if (sample.swapped)
    SINTER_RETURN_IF_ERROR(swap_.restore(*sample.swapped, sample.sequence));
  sample.swapped.reset();
  return Status::ok();
}

Status Residency::leave(Sample &sample) {
  Sequence &sequence = sample.sequence;
  sample.dropDraft();
  const uint32_t pages = SwapSpace::pagesOf(sequence);
  if (pages > 0 && swap_.hasRoom(pages) && prefersSwap(pages, sequence.cached())) {
    SINTER_ASSIGN_OR_RETURN(sample.swapped, swap_.save(sequence));
    everSwapped_ += pages;
  }
  sequence.releasePages();
  return Status::ok();
}

} // namespace sinter
