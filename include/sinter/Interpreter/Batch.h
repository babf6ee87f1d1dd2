//===- Batch.h - a step's sequences and the simulated page pool -*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sinter::interp {

/// What `!xfmr.batch` carries, and the two index inputs of a step.
struct Batch {
  std::vector<int32_t> tokens;     ///< [T]
  std::vector<int32_t> positions;  ///< [T]
  std::vector<int32_t> slots;      ///< [T] page * page_size + offset, -1 writes nothing
  std::vector<int32_t> cuQ;        ///< [S + 1]
  std::vector<int32_t> ctx;        ///< [S]
  std::vector<int32_t> blockTable; ///< [S, tableStride] page ids, -1 where there is none
  int64_t tableStride = 0;
  std::vector<int32_t> rows; ///< [R]

  int64_t numTokens() const { return int64_t(tokens.size()); }
  int64_t numSequences() const { return int64_t(ctx.size()); }
};

/// One layer's K and V in pages. Every element is NaN until it is written, so that whatever reads a
/// place that it should not poisons its result.
class PagedCache {
public:
  PagedCache(int64_t pages, int64_t pageSize, int64_t heads, int64_t headDim);

  int64_t pages() const { return pages_; }
  int64_t pageSize() const { return pageSize_; }
  int64_t heads() const { return heads_; }
  int64_t headDim() const { return headDim_; }
  /// `slot` is page * page_size + offset.
  double *k(int64_t slot, int64_t head) { return k_.data() + index(slot, head); }
  double *v(int64_t slot, int64_t head) { return v_.data() + index(slot, head); }
  const double *k(int64_t slot, int64_t head) const { return k_.data() + index(slot, head); }
  const double *v(int64_t slot, int64_t head) const { return v_.data() + index(slot, head); }

private:
  size_t index(int64_t slot, int64_t head) const {
    return size_t((slot * heads_ + head) * headDim_);
  }
  int64_t pages_, pageSize_, heads_, headDim_;
  std::vector<double> k_, v_;
};

/// Checks lengths, ranges and that every page a token can see is in the table, against a pool of
/// `pages` pages. The message names the field.
Status validateBatch(const Batch &batch, int64_t pages, int64_t pageSize);

/// Which tokens of a step get logits.
enum class RowChoice { Last, All };

struct SequenceTokens {
  size_t sequence = 0;
  std::vector<int32_t> tokens;
};

/// Gives sequences pages and writes the batches of their steps: what the runtime's engine does,
/// without reuse or sharing.
class PageLayout {
public:
  /// `order` 0 hands pages out in ascending order, any other value shuffles them by that seed.
  PageLayout(int64_t pageSize, int64_t pages, uint64_t order = 0);

  size_t addSequence();
  /// Appends tokens to sequences, one entry per sequence in the step. ResourceExhausted when the
  /// pool is.
  Result<Batch> step(const std::vector<SequenceTokens> &parts, RowChoice rows);
  int64_t length(size_t sequence) const { return sequences_[sequence].length; }

private:
  struct Sequence {
    int64_t length = 0;
    std::vector<int32_t> pages;
  };
  int64_t pageSize_;
  std::vector<int32_t> free_; ///< taken from the back
  std::vector<Sequence> sequences_;
};

} // namespace sinter::interp
