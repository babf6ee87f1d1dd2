//===- StepBuffers.cpp ----------------------------------------------------===//
#include "runtime/device/cuda/StepBuffers.h"

#include <algorithm>
#include <cstring>

namespace sinter::cuda {
namespace {

constexpr uint64_t kAlignment = 16;
constexpr uint64_t kLargestPiece = uint64_t(32) << 20; ///< of results copied at a time

uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// What startDownload() copies: values and indices of an argmax head lie in one piece.
uint64_t resultBytes(const EntryPlan &entry, uint32_t rows, uint64_t vocab) {
  if (rows == 0)
    return 0;
  return entry.head == HeadKind::Argmax ? (uint64_t(entry.maxRows) + rows) * sizeof(float)
                                        : rows * vocab * sizeof(float);
}

DevicePointer resultAddress(const EntryOutputs &outputs) {
  return reinterpret_cast<DevicePointer>(outputs.logits ? outputs.logits : outputs.argmaxValue);
}

} // namespace

Result<StepInputs> StepInputs::create(uint32_t maxTokens, uint32_t maxPages) {
  StepInputs inputs;
  // tokens, positions, slots, ctx, rows; cu_q has one more; the block table.
  inputs.capacity_ = aligned(sizeof(SinterBatch)) + 5 * aligned(maxTokens * sizeof(int32_t)) +
                     aligned((uint64_t(maxTokens) + 1) * sizeof(int32_t)) +
                     aligned(uint64_t(maxTokens) * maxPages * sizeof(int32_t));
  SINTER_ASSIGN_OR_RETURN(inputs.host_, makePinned(inputs.capacity_));
  SINTER_ASSIGN_OR_RETURN(inputs.device_, makeDeviceBlock(inputs.capacity_));
  return inputs;
}

const int32_t *StepInputs::place(const int32_t *array, uint64_t count) {
  const uint64_t offset = used_;
  used_ += aligned(count * sizeof(int32_t));
  if (used_ <= capacity_ && count > 0)
    std::memcpy(static_cast<uint8_t *>(host_.get()) + offset, array, count * sizeof(int32_t));
  return reinterpret_cast<const int32_t *>(device_.get() + offset);
}

Result<SinterBatch> StepInputs::stage(const SinterBatch &host, float *logits, float *argmaxValue,
                                      int32_t *argmaxIndex) {
  SinterBatch batch = host;
  used_ = aligned(sizeof batch);
  batch.tokens = place(host.tokens, host.num_tokens);
  batch.positions = place(host.positions, host.num_tokens);
  batch.slots = place(host.slots, host.num_tokens);
  batch.cu_q = place(host.cu_q, uint64_t(host.num_seqs) + 1);
  batch.ctx = place(host.ctx, host.num_seqs);
  batch.rows = place(host.rows, host.num_rows);
  batch.block_table = place(host.block_table, uint64_t(host.num_seqs) * host.block_table_stride);
  batch.logits = logits;
  batch.argmax_value = argmaxValue;
  batch.argmax_index = argmaxIndex;
  if (used_ > capacity_)
    return internalError("the step's inputs need " + std::to_string(used_) + " bytes, " +
                         std::to_string(capacity_) + " were planned for");
  std::memcpy(host_.get(), &batch, sizeof batch);
  return batch;
}

Status StepInputs::upload(Stream stream) const {
  SINTER_CUDA_RETURN_IF_ERROR(driver().copyToDevice(device_.get(), host_.get(), used_, stream),
                              "cannot copy a step's inputs to the GPU");
  return Status::ok();
}

Result<EntryOutputs> StepOutputs::of(const EntryPlan &entry, uint64_t vocab) {
  const uint64_t rows = std::max<uint32_t>(entry.maxRows, 1);
  const uint64_t bytes = rows * sizeof(float) * (entry.head == HeadKind::Argmax ? 2 : vocab);
  // Graphs captured before hold addresses: a block is never replaced, a larger one is added.
  auto found = std::find_if(blocks_.begin(), blocks_.end(),
                            [&](const Block &block) { return block.bytes >= bytes; });
  if (found == blocks_.end()) {
    SINTER_ASSIGN_OR_RETURN(DeviceBlock memory, makeDeviceBlock(bytes));
    blocks_.push_back({std::move(memory), bytes});
    found = blocks_.end() - 1;
  }
  auto *data = reinterpret_cast<float *>(found->memory.get());
  EntryOutputs outputs;
  if (entry.head == HeadKind::Logits) {
    outputs.logits = data;
  } else {
    outputs.argmaxValue = data;
    outputs.argmaxIndex = reinterpret_cast<int32_t *>(data + rows);
  }
  return outputs;
}

Status StepOutputs::reservePinned(uint64_t bytes) {
  if (bytes <= pinnedBytes_)
    return Status::ok();
  SINTER_ASSIGN_OR_RETURN(pinned_, makePinned(bytes));
  pinnedBytes_ = bytes;
  return Status::ok();
}

Status StepOutputs::startDownload(const EntryPlan &entry, const EntryOutputs &outputs,
                                  uint32_t rows, uint64_t vocab, Stream stream) {
  const uint64_t bytes = std::min(resultBytes(entry, rows, vocab), kLargestPiece);
  if (bytes == 0)
    return Status::ok();
  SINTER_RETURN_IF_ERROR(reservePinned(bytes));
  SINTER_CUDA_RETURN_IF_ERROR(
      driver().copyToHost(pinned_.get(), resultAddress(outputs), bytes, stream),
      "cannot copy a step's results from the GPU");
  return Status::ok();
}

Status StepOutputs::finishDownload(const EntryPlan &entry, const EntryOutputs &outputs,
                                   const SinterBatch &batch, uint64_t vocab, Stream stream) {
  const uint64_t bytes = resultBytes(entry, batch.num_rows, vocab);
  if (bytes == 0)
    return Status::ok();
  const auto *results = static_cast<const float *>(pinned_.get());
  if (entry.head == HeadKind::Argmax) {
    std::memcpy(batch.argmax_value, results, batch.num_rows * sizeof(float));
    std::memcpy(batch.argmax_index, results + entry.maxRows, batch.num_rows * sizeof(int32_t));
    return Status::ok();
  }
  auto *logits = reinterpret_cast<uint8_t *>(batch.logits);
  for (uint64_t done = 0;;) {
    const uint64_t piece = std::min(bytes - done, kLargestPiece);
    std::memcpy(logits + done, pinned_.get(), piece);
    done += piece;
    if (done == bytes)
      return Status::ok();
    const uint64_t next = std::min(bytes - done, kLargestPiece);
    SINTER_CUDA_RETURN_IF_ERROR(
        driver().copyToHost(pinned_.get(), resultAddress(outputs) + done, next, stream),
        "cannot copy logits from the GPU");
    SINTER_CUDA_RETURN_IF_ERROR(driver().streamSynchronize(stream),
                                "cannot copy logits from the GPU");
  }
}

} // namespace sinter::cuda
