//===- StepShares.cpp -----------------------------------------------------===//
#include "runtime/engine/StepShares.h"

#include <algorithm>

namespace sinter {
namespace {

/// Tokens per thread from which reading all weights costs no more than multiplying with them.
constexpr uint32_t kLeastTokens = 4;
/// How much longer than the average the longest share may take: waiting for it costs less than
/// computing together does.
constexpr double kMostUneven = 1.15;
/// Attention uses what it has loaded less often than linears do.
constexpr double kAttentionFactor = 3;

const EntryPlan &largestEntry(const Manifest &manifest) {
  return *std::max_element(
      manifest.entries.begin(), manifest.entries.end(),
      [](const EntryPlan &a, const EntryPlan &b) { return a.maxTokens < b.maxTokens; });
}

} // namespace

StepShares::StepShares(const Manifest &manifest, const Device &device) {
  uint64_t weights = 0;
  for (const OpPlan &op : largestEntry(manifest).schedule) {
    weights += op.weightBytes;
    perToken_ += double(op.flopsPerToken);
  }
  perPosition_ = kAttentionFactor *
                 double(4 * manifest.model.layers * manifest.model.heads * manifest.kv.headDim);
  kv_ = manifest.kv;
  const uint64_t shared = device.sharedCacheBytes();
  cacheBytes_ = shared - std::min(shared, weights);
  if (weights <= shared / 2)
    most_ = std::max(device.batchesTogether(), 1u);
}

/// Whether K and V that a step reads stay beside the weights. Else they drive weights out, which
/// all threads would read from memory instead of a part each.
bool StepShares::fitsCache(std::span<const WorkItem> items) const {
  uint64_t positions = 0;
  for (const WorkItem &item : items) {
    const uint64_t context = item.sequence->cached() + item.tokens;
    positions += kv_.window ? std::min(context, kv_.window + item.tokens) : context;
  }
  return positions * kv_.tokenBytes() <= cacheBytes_;
}

double StepShares::cost(const WorkItem &item) const {
  double seen = double(item.sequence->cached()) + (double(item.tokens) + 1) / 2;
  if (kv_.window)
    seen = std::min(seen, double(kv_.window));
  return item.tokens * (perToken_ + seen * perPosition_);
}

std::vector<std::span<const WorkItem>> StepShares::divide(std::span<const WorkItem> items) const {
  const std::vector<std::span<const WorkItem>> together = {items};
  if (most_ < 2 || items.size() < most_ || !fitsCache(items))
    return together;
  double total = 0;
  for (const WorkItem &item : items)
    total += cost(item);
  std::vector<std::span<const WorkItem>> shares;
  double before = 0; // of all items before `i`
  size_t i = 0;
  while (shares.size() < most_) {
    const size_t first = i;
    const double start = before, end = total * double(shares.size() + 1) / most_;
    uint32_t tokens = 0;
    // An item belongs where the larger part of it lies.
    while (i < items.size() && before + cost(items[i]) / 2 <= end) {
      before += cost(items[i]);
      tokens += items[i++].tokens;
    }
    if (tokens < kLeastTokens || before - start > kMostUneven * total / most_)
      return together;
    shares.push_back(items.subspan(first, i - first));
  }
  return shares;
}

} // namespace sinter
