//===- StepBuffers.h - a step's inputs and outputs on the GPU ---*- C++ -*-===//
//
// Inputs: one block of pinned host memory and one of device memory of the same layout, the
// SinterBatch first and its arrays packed behind it, so that a step costs one copy of just the
// bytes it uses. The SinterBatch always lies at the same device address: it is all that kernels in
// a captured graph know. Edits and masks of logits, of which most steps have none and nobody knows
// the most, lie in a second block that grows.
//
// Outputs: at a fixed address per entry point. Tokens are written by the kernels straight to pinned
// memory, as a copy of a few bytes costs more than it moves; logits are copied back through it
// where no token is drawn from them on the GPU.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "runtime/device/cuda/Handles.h"
#include "sinter/Abi/sinter_abi.h"

#include <cstdint>
#include <vector>

namespace sinter::cuda {

/// Where one entry point's kernels write their results: logits, tokens, or both, of which the host
/// then gets the tokens only.
struct EntryOutputs {
  float *logits = nullptr;
  float *argmaxValue = nullptr;
  int32_t *argmaxIndex = nullptr; ///< behind the values of all rows

  bool givesTokens() const { return argmaxIndex != nullptr; }
};

/// The same bytes on the host, pinned, and on the device.
class MirroredBlock {
public:
  static Result<MirroredBlock> create(uint64_t capacity);

  /// Forgets what was placed, but for the first `bytes`.
  void clear(uint64_t bytes = 0) { used_ = bytes; }
  /// Copies an array behind the last one, as far as there is room; its device address.
  template <typename T> const T *place(const T *array, uint64_t count);
  /// Starts the copy of what was placed to the device.
  Status upload(Stream stream) const;

  void *host() const { return host_.get(); }
  DevicePointer device() const { return device_.get(); }
  uint64_t used() const { return used_; } ///< what was asked for
  uint64_t capacity() const { return capacity_; }

private:
  PinnedBlock host_;
  DeviceBlock device_;
  uint64_t capacity_ = 0;
  uint64_t used_ = 0;
};

class StepInputs {
public:
  /// Room for steps of `maxTokens` tokens in up to as many sequences of `maxPages` pages.
  static Result<StepInputs> create(uint32_t maxTokens, uint32_t maxPages);

  /// Copies a batch of host arrays to pinned memory; the step before must have finished. The result
  /// is the same batch with device pointers and these outputs.
  Result<SinterBatch> stage(const SinterBatch &host, const EntryOutputs &outputs, uint64_t vocab);
  /// Starts the copy of what was staged.
  Status upload(Stream stream) const;

  DevicePointer batchAddress() const { return block_.device(); }

private:
  Result<const SinterSampling *> stageSampling(const SinterBatch &host, uint64_t vocab);

  MirroredBlock block_;
  MirroredBlock changes_; ///< of logits
  std::vector<SinterSampling> sampling_;
};

class StepOutputs {
public:
  /// The memory for the results of `entry`, allocated on first use.
  Result<EntryOutputs> of(const EntryPlan &entry, uint64_t vocab);

  /// Starts the copy of a step's logits, as far as they fit one piece of pinned memory.
  Status startDownload(const EntryOutputs &outputs, uint32_t rows, uint64_t vocab, Stream stream);
  /// After the stream has finished: results to where `batch` wants them.
  Status finishDownload(const EntryOutputs &outputs, const SinterBatch &batch, uint64_t vocab,
                        Stream stream);

private:
  template <typename Memory> struct Block {
    Memory memory;
    uint64_t bytes = 0;
  };

  Result<float *> logitsBlock(uint64_t bytes);
  Result<float *> tokensBlock(uint64_t bytes);

  std::vector<Block<DeviceBlock>> logits_;
  std::vector<Block<PinnedBlock>> tokens_;
  Block<PinnedBlock> staging_;
};

constexpr size_t kGraphVariants = 4; ///< with short sequences or without, with long ones or without

/// What a step needs for itself while another one runs: the graphs know its addresses.
struct StepSlot {
  StepInputs inputs;
  StepOutputs outputs;
  /// By entry, kGraphVariants of each; empty ones are not captured yet.
  std::vector<OwnedGraphExec> graphs;
  OwnedEvent uploaded, finished;

  // Of the step in it:
  uint32_t entry = 0;
  EntryOutputs results;
  SinterBatch batch = {}; ///< its outputs are the host's

  bool isPrepared() const { return !graphs.empty(); }
  Status prepare(size_t entries, uint32_t maxTokens, uint32_t maxPages);
};

} // namespace sinter::cuda
