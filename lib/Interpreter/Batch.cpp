//===- Batch.cpp - a step's sequences and the simulated page pool ---------===//
#include "sinter/Interpreter/Batch.h"

#include "sinter/Support/Philox.h"

#include <algorithm>
#include <limits>
#include <string>

using namespace sinter;
using namespace sinter::interp;

PagedCache::PagedCache(int64_t pages, int64_t pageSize, int64_t heads, int64_t headDim)
    : pages_(pages), pageSize_(pageSize), heads_(heads), headDim_(headDim),
      k_(size_t(pages * pageSize * heads * headDim), std::numeric_limits<double>::quiet_NaN()),
      v_(k_) {}

namespace {

Status wrong(const std::string &field, int64_t index, int64_t value, const std::string &why) {
  return invalidArgument("batch: " + field + "[" + std::to_string(index) +
                         "] = " + std::to_string(value) + ": " + why);
}

Status checkRange(const std::vector<int32_t> &values, const std::string &field, int64_t low,
                  int64_t high) {
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] < low || values[i] >= high)
      return wrong(field, int64_t(i), values[i],
                   "must be in [" + std::to_string(low) + ", " + std::to_string(high) + ")");
  return Status::ok();
}

Status checkLengths(const Batch &batch) {
  const size_t tokens = batch.tokens.size(), sequences = batch.ctx.size();
  if (tokens == 0)
    return invalidArgument("batch: no tokens");
  if (batch.positions.size() != tokens || batch.slots.size() != tokens)
    return invalidArgument("batch: " + std::to_string(tokens) + " tokens, " +
                           std::to_string(batch.positions.size()) + " positions, " +
                           std::to_string(batch.slots.size()) + " slots");
  if (batch.cuQ.size() != sequences + 1 || batch.cuQ.front() != 0 ||
      batch.cuQ.back() > int32_t(tokens) || !std::is_sorted(batch.cuQ.begin(), batch.cuQ.end()))
    return invalidArgument("batch: cu_q must rise from 0 over " + std::to_string(sequences) +
                           " sequences to at most " + std::to_string(tokens) + " tokens");
  if (int64_t(batch.blockTable.size()) != batch.tableStride * int64_t(sequences))
    return invalidArgument("batch: block_table has " + std::to_string(batch.blockTable.size()) +
                           " entries for " + std::to_string(sequences) + " sequences of " +
                           std::to_string(batch.tableStride));
  return Status::ok();
}

} // namespace

Status interp::validateBatch(const Batch &batch, int64_t pages, int64_t pageSize) {
  SINTER_RETURN_IF_ERROR(checkLengths(batch));
  constexpr int64_t kAny = std::numeric_limits<int32_t>::max();
  SINTER_RETURN_IF_ERROR(checkRange(batch.tokens, "tokens", 0, kAny));
  SINTER_RETURN_IF_ERROR(checkRange(batch.positions, "positions", 0, kAny));
  SINTER_RETURN_IF_ERROR(checkRange(batch.slots, "slots", -1, pages * pageSize));
  SINTER_RETURN_IF_ERROR(checkRange(batch.blockTable, "block_table", -1, pages));
  SINTER_RETURN_IF_ERROR(checkRange(batch.rows, "rows", 0, batch.numTokens()));
  for (int64_t s = 0; s < batch.numSequences(); ++s) {
    for (int32_t t = batch.cuQ[s]; t < batch.cuQ[s + 1]; ++t)
      if (batch.positions[t] >= batch.ctx[s])
        return wrong("positions", t, batch.positions[t],
                     "sequence " + std::to_string(s) + " has " + std::to_string(batch.ctx[s]) +
                         " positions");
    for (int64_t p = 0; p * pageSize < batch.ctx[s]; ++p)
      if (p >= batch.tableStride || batch.blockTable[s * batch.tableStride + p] < 0)
        return wrong("ctx", s, batch.ctx[s], "page " + std::to_string(p) + " is not in the table");
  }
  return Status::ok();
}

PageLayout::PageLayout(int64_t pageSize, int64_t pages, uint64_t order) : pageSize_(pageSize) {
  for (int64_t page = pages; page-- > 0;)
    free_.push_back(int32_t(page));
  if (order == 0)
    return;
  for (size_t i = free_.size(); i > 1; --i)
    std::swap(free_[i - 1], free_[philoxBlock(order, i, 0)[0] % i]);
}

size_t PageLayout::addSequence() {
  sequences_.emplace_back();
  return sequences_.size() - 1;
}

Result<Batch> PageLayout::step(const std::vector<SequenceTokens> &parts, RowChoice rows) {
  Batch batch;
  batch.cuQ.push_back(0);
  for (const SequenceTokens &part : parts) {
    Sequence &sequence = sequences_[part.sequence];
    for (int32_t token : part.tokens) {
      if (sequence.length == int64_t(sequence.pages.size()) * pageSize_) {
        if (free_.empty())
          return resourceExhausted("no free page left for position " +
                                   std::to_string(sequence.length));
        sequence.pages.push_back(free_.back());
        free_.pop_back();
      }
      const int64_t page = sequence.pages[size_t(sequence.length / pageSize_)];
      if (rows == RowChoice::All)
        batch.rows.push_back(int32_t(batch.tokens.size()));
      batch.tokens.push_back(token);
      batch.positions.push_back(int32_t(sequence.length));
      batch.slots.push_back(int32_t(page * pageSize_ + sequence.length % pageSize_));
      ++sequence.length;
    }
    if (rows == RowChoice::Last)
      batch.rows.push_back(int32_t(batch.tokens.size()) - 1);
    batch.cuQ.push_back(int32_t(batch.tokens.size()));
    batch.ctx.push_back(int32_t(sequence.length));
    batch.tableStride = std::max(batch.tableStride, int64_t(sequence.pages.size()));
  }
  for (const SequenceTokens &part : parts) {
    std::vector<int32_t> pages = sequences_[part.sequence].pages;
    pages.resize(size_t(batch.tableStride), -1);
    batch.blockTable.insert(batch.blockTable.end(), pages.begin(), pages.end());
  }
  return batch;
}
