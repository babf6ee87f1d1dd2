//===- Residency.h - brings samples' caches in and out ----------*- C++ -*-===//
#pragma once

#include "runtime/engine/Executor.h"
#include "runtime/engine/Sample.h"

#include <cstdint>

namespace sinter {

/// How to get back what a preempted sample had cached. Swapping costs 2 * pages * page bytes /
/// `bytesPerSecond`, recomputing tokens * operations per token / `operationsPerSecond`; the cheaper
/// one is taken, recomputing where the swap space is full. Constants instead of measurements, so
/// that the same requests give the same steps.
struct PreemptionCosts {
  uint64_t swapBytes = 0; ///< host memory for swapped pages; 0: always recompute
  double bytesPerSecond = 0;
  double operationsPerSecond = 0;
};

class Residency {
public:
  Residency(Executor &executor, PageAllocator &allocator, const PreemptionCosts &costs);

  /// Gives a sample without pages what the prefix cache holds of its tokens; dropping the pages
  /// again undoes it.
  void adopt(Sample &sample) { sample.sequence.adopt(sample.request->root); }
  /// And then what the swap space holds. There are enough pages. Fails when the device does.
  Status restore(Sample &sample);
  /// Takes a sample's pages, after copying them to the host where that pays.
  Status leave(Sample &sample);

  const PageAllocator &allocator() const { return allocator_; }
  uint64_t swappedPages() const { return swap_.usedPages(); }
  uint64_t pagesEverSwapped() const { return everSwapped_; }
  bool prefersSwap(uint32_t pages, uint32_t tokens) const;
  double operationsPerToken() const { return operationsPerToken_; }

private:
  Executor &executor_;
  PageAllocator &allocator_;
  PreemptionCosts costs_;
  SwapSpace swap_;
  uint64_t everSwapped_ = 0;
  double operationsPerToken_ = 0;
};

} // namespace sinter
