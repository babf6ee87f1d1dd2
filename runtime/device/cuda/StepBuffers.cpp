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

Result<MirroredBlock> MirroredBlock::create(uint64_t capacity) {
  MirroredBlock block;
  block.capacity_ = capacity;
  SINTER_ASSIGN_OR_RETURN(block.host_, makePinned(capacity));
  SINTER_ASSIGN_OR_RETURN(block.device_, makeDeviceBlock(capacity));
  return block;
}

template <typename T> const T *MirroredBlock::place(const T *array, uint64_t count) {
  const uint64_t offset = used_;
  used_ += aligned(count * sizeof(T));
  if (used_ <= capacity_ && count > 0)
    std::memcpy(static_cast<uint8_t *>(host_.get()) + offset, array, count * sizeof(T));
  return reinterpret_cast<const T *>(device_.get() + offset);
}

Status MirroredBlock::upload(Stream stream) const {
  SINTER_CUDA_RETURN_IF_ERROR(driver().copyToDevice(device_.get(), host_.get(), used_, stream),
                              "cannot copy a step's inputs to the GPU");
  return Status::ok();
}

Result<StepInputs> StepInputs::create(uint32_t maxTokens, uint32_t maxPages) {
  StepInputs inputs;
  // tokens, positions, slots, ctx, rows; cu_q has one more; the block table; how rows are drawn.
  const uint64_t capacity = aligned(sizeof(SinterBatch)) +
                            5 * aligned(maxTokens * sizeof(int32_t)) +
                            aligned((uint64_t(maxTokens) + 1) * sizeof(int32_t)) +
                            aligned(uint64_t(maxTokens) * maxPages * sizeof(int32_t)) +
                            aligned(uint64_t(maxTokens) * sizeof(SinterSampling));
  SINTER_ASSIGN_OR_RETURN(inputs.block_, MirroredBlock::create(capacity));
  return inputs;
}

/// The rows' array and, in the other block, what it points to.
Result<const SinterSampling *> StepInputs::stageSampling(const SinterBatch &host, uint64_t vocab) {
  const uint64_t words = (vocab + 31) / 32;
  sampling_.assign(host.sampling, host.sampling + host.num_rows);
  uint64_t bytes = 0;
  for (const SinterSampling &row : sampling_)
    bytes += aligned(row.num_edits * sizeof *row.edits) +
             (row.allowed ? aligned(words * sizeof *row.allowed) : 0);
  // No graph knows the address, and the step that read the block has finished.
  if (bytes > changes_.capacity()) {
    SINTER_ASSIGN_OR_RETURN(changes_,
                            MirroredBlock::create(std::max(bytes, 2 * changes_.capacity())));
  }
  for (SinterSampling &row : sampling_) {
    if (row.num_edits > 0)
      row.edits = changes_.place(row.edits, row.num_edits);
    if (row.allowed)
      row.allowed = changes_.place(row.allowed, words);
  }
  return block_.place(sampling_.data(), sampling_.size());
}

Result<SinterBatch> StepInputs::stage(const SinterBatch &host, const EntryOutputs &outputs,
                                      uint64_t vocab) {
  SinterBatch batch = host;
  block_.clear(aligned(sizeof batch));
  changes_.clear();
  batch.tokens = block_.place(host.tokens, host.num_tokens);
  batch.positions = block_.place(host.positions, host.num_tokens);
  batch.slots = block_.place(host.slots, host.num_tokens);
  batch.cu_q = block_.place(host.cu_q, uint64_t(host.num_seqs) + 1);
  batch.ctx = block_.place(host.ctx, host.num_seqs);
  batch.rows = block_.place(host.rows, host.num_rows);
  batch.block_table =
      block_.place(host.block_table, uint64_t(host.num_seqs) * host.block_table_stride);
  if (host.sampling) {
    SINTER_ASSIGN_OR_RETURN(batch.sampling, stageSampling(host, vocab));
  }
  batch.logits = outputs.logits;
  batch.argmax_value = outputs.argmaxValue;
  batch.argmax_index = outputs.argmaxIndex;
  if (block_.used() > block_.capacity())
    return internalError("the step's inputs need " + std::to_string(block_.used()) + " bytes, " +
                         std::to_string(block_.capacity()) + " were planned for");
  std::memcpy(block_.host(), &batch, sizeof batch);
  return batch;
}

Status StepInputs::upload(Stream stream) const {
  if (changes_.used() > 0)
    SINTER_RETURN_IF_ERROR(changes_.upload(stream));
  return block_.upload(stream);
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
