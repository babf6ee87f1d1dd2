//===- StepBuffers.cpp ----------------------------------------------------===//
#include "runtime/device/cuda/StepBuffers.h"

#include <algorithm>
#include <cstring>

namespace sinter::cuda {
namespace {

constexpr uint64_t kAlignment = 16;
constexpr uint64_t kLargestPiece = uint64_t(32) << 20; ///< of results copied at a time

uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// The first of `blocks` that has `bytes`. Graphs captured before hold addresses: a block is never
/// replaced, a larger one is added.
template <typename Block, typename Make>
Result<Block *> blockOf(std::vector<Block> &blocks, uint64_t bytes, Make make) {
  for (Block &block : blocks)
    if (block.bytes >= bytes)
      return &block;
  auto memory = make(bytes);
  if (!memory)
    return memory.status();
  blocks.push_back({*std::move(memory), bytes});
  return &blocks.back();
}

} // namespace

Result<StepInputs> StepInputs::create(uint32_t maxTokens, uint32_t maxPages) {
  StepInputs inputs;
  // tokens, positions, slots, ctx, rows; cu_q has one more; the block table; how rows are drawn.
  inputs.capacity_ = aligned(sizeof(SinterBatch)) + 5 * aligned(maxTokens * sizeof(int32_t)) +
                     aligned((uint64_t(maxTokens) + 1) * sizeof(int32_t)) +
                     aligned(uint64_t(maxTokens) * maxPages * sizeof(int32_t)) +
                     aligned(uint64_t(maxTokens) * sizeof(SinterSampling));
  SINTER_ASSIGN_OR_RETURN(inputs.host_, makePinned(inputs.capacity_));
  SINTER_ASSIGN_OR_RETURN(inputs.device_, makeDeviceBlock(inputs.capacity_));
  return inputs;
}

template <typename T> const T *StepInputs::place(const T *array, uint64_t count) {
  const uint64_t offset = used_;
  used_ += aligned(count * sizeof(T));
  if (used_ <= capacity_ && count > 0)
    std::memcpy(static_cast<uint8_t *>(host_.get()) + offset, array, count * sizeof(T));
  return reinterpret_cast<const T *>(device_.get() + offset);
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
  if (host.sampling)
    batch.sampling = place(host.sampling, host.num_rows);
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

Status StepSlot::prepare(size_t entries, uint32_t maxTokens, uint32_t maxPages) {
  SINTER_ASSIGN_OR_RETURN(inputs, StepInputs::create(maxTokens, maxPages));
  SINTER_ASSIGN_OR_RETURN(uploaded, makeEvent(kEventDisableTiming));
  SINTER_ASSIGN_OR_RETURN(finished, makeEvent(kEventBlockingSync | kEventDisableTiming));
  graphs.clear();
  graphs.resize(entries * kGraphVariants);
  return Status::ok();
}

Result<float *> StepOutputs::logitsBlock(uint64_t bytes) {
  SINTER_ASSIGN_OR_RETURN(const auto *block, blockOf(logits_, bytes, makeDeviceBlock));
  return reinterpret_cast<float *>(block->memory.get());
}

Result<float *> StepOutputs::tokensBlock(uint64_t bytes) {
  SINTER_ASSIGN_OR_RETURN(const auto *block, blockOf(tokens_, bytes, makePinned));
  return static_cast<float *>(block->memory.get());
}

Result<EntryOutputs> StepOutputs::of(const EntryPlan &entry, uint64_t vocab) {
  const uint64_t rows = std::max<uint32_t>(entry.maxRows, 1);
  EntryOutputs outputs;
  if (entry.head != HeadKind::Argmax) {
    SINTER_ASSIGN_OR_RETURN(outputs.logits, logitsBlock(rows * vocab * sizeof(float)));
  }
  if (entry.head == HeadKind::Logits)
    return outputs;
  SINTER_ASSIGN_OR_RETURN(outputs.argmaxValue, tokensBlock(rows * 2 * sizeof(float)));
  outputs.argmaxIndex = reinterpret_cast<int32_t *>(outputs.argmaxValue + rows);
  return outputs;
}

Status StepOutputs::startDownload(const EntryOutputs &outputs, uint32_t rows, uint64_t vocab,
                                  Stream stream) {
  const uint64_t bytes = std::min(rows * vocab * sizeof(float), kLargestPiece);
  if (outputs.givesTokens() || bytes == 0)
    return Status::ok();
  if (bytes > staging_.bytes) {
    SINTER_ASSIGN_OR_RETURN(staging_.memory, makePinned(bytes));
    staging_.bytes = bytes;
  }
  SINTER_CUDA_RETURN_IF_ERROR(driver().copyToHost(staging_.memory.get(),
                                                  reinterpret_cast<DevicePointer>(outputs.logits),
                                                  bytes, stream),
                              "cannot copy logits from the GPU");
  return Status::ok();
}

Status StepOutputs::finishDownload(const EntryOutputs &outputs, const SinterBatch &batch,
                                   uint64_t vocab, Stream stream) {
  if (outputs.givesTokens()) {
    std::copy_n(outputs.argmaxValue, batch.num_rows, batch.argmax_value);
    std::copy_n(outputs.argmaxIndex, batch.num_rows, batch.argmax_index);
    return Status::ok();
  }
  const std::string what = "cannot copy logits from the GPU";
  const uint64_t bytes = batch.num_rows * vocab * sizeof(float);
  const auto from = reinterpret_cast<DevicePointer>(outputs.logits);
  auto *to = reinterpret_cast<uint8_t *>(batch.logits);
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t piece = std::min(bytes - done, kLargestPiece);
    if (done > 0) { // startDownload() has brought the first piece
      SINTER_CUDA_RETURN_IF_ERROR(
          driver().copyToHost(staging_.memory.get(), from + done, piece, stream), what);
      SINTER_CUDA_RETURN_IF_ERROR(driver().streamSynchronize(stream), what);
    }
    std::memcpy(to + done, staging_.memory.get(), piece);
    done += piece;
  }
  return Status::ok();
}

} // namespace sinter::cuda
