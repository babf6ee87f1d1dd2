//===- BatchBuilder.cpp ---------------------------------------------------===//
#include "runtime/engine/BatchBuilder.h"

#include <algorithm>

namespace sinter {

void BatchBuilder::append(const WorkItem &item) {
  const Sequence &sequence = *item.sequence;
  const uint32_t first = sequence.cached();
  for (uint32_t position = first; position < first + item.tokens; ++position) {
    tokens_.push_back(sequence.tokens()[position]);
    positions_.push_back(int32_t(position));
    slots_.push_back(sequence.slot(position));
    const bool last = position + 1 == first + item.tokens;
    if (item.rows == Rows::All || (item.rows == Rows::Last && last))
      rows_.push_back(int32_t(tokens_.size()) - 1);
  }
  cuQ_.push_back(int32_t(tokens_.size()));
  ctx_.push_back(int32_t(first + item.tokens));
}

SinterBatch BatchBuilder::build(std::span<const WorkItem> items) {
  for (auto *array : {&tokens_, &positions_, &slots_, &cuQ_, &ctx_, &blockTable_, &rows_})
    array->clear();
  cuQ_.push_back(0);
  size_t stride = 1;
  SinterBatch batch = {};
  for (const WorkItem &item : items) {
    append(item);
    batch.max_q = std::max(batch.max_q, item.tokens);
    batch.num_short += item.tokens <= SINTER_SHORT_TOKENS;
    batch.max_ctx = std::max(batch.max_ctx, uint32_t(ctx_.back()));
    stride = std::max(stride, item.sequence->pages().size());
  }
  blockTable_.assign(items.size() * stride, -1);
  for (size_t i = 0; i < items.size(); ++i)
    std::copy(items[i].sequence->pages().begin(), items[i].sequence->pages().end(),
              blockTable_.begin() + ptrdiff_t(i * stride));

  batch.size = sizeof batch;
  batch.num_tokens = uint32_t(tokens_.size());
  batch.num_seqs = uint32_t(items.size());
  batch.num_rows = uint32_t(rows_.size());
  batch.block_table_stride = uint32_t(stride);
  batch.tokens = tokens_.data();
  batch.positions = positions_.data();
  batch.slots = slots_.data();
  batch.cu_q = cuQ_.data();
  batch.ctx = ctx_.data();
  batch.block_table = blockTable_.data();
  batch.rows = rows_.data();
  return batch;
}

} // namespace sinter
