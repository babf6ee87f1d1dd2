//===- BatchBuilder.h - work items to the arrays a step reads ---*- C++ -*-===//
#pragma once

#include "runtime/engine/Sequence.h"
#include "sinter/Abi/sinter_abi.h"

#include <cstdint>
#include <span>
#include <vector>

namespace sinter {

/// Which of an item's tokens have their logits computed.
enum class Rows { None, Last, All };

/// The next `tokens` waiting tokens of a sequence, whose pages are reserved. One token is a decode,
/// more are a prefill chunk or a verification; the steps make no difference.
struct WorkItem {
  Sequence *sequence = nullptr;
  uint32_t tokens = 1;
  Rows rows = Rows::Last;
};

/// Builds a SinterBatch. The arrays belong to the builder, are reused and stay valid until the next
/// build().
class BatchBuilder {
public:
  /// The outputs of the batch are left null.
  SinterBatch build(std::span<const WorkItem> items);

private:
  void append(const WorkItem &item);

  std::vector<int32_t> tokens_, positions_, slots_, cuQ_, ctx_, blockTable_, rows_;
};

} // namespace sinter
