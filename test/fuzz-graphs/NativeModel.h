//===- NativeModel.h - a planned graph as machine code ----------*- C++ -*-===//
//
// Compiles a planned module to an artefact, opens it and plays the runner: packs the weights and
// lays out the pages as docs/artifact.md says, and remembers memory after every kernel. Shares no
// code with the runtime.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Conversion/StepProgram.h"
#include "sinter/Interpreter/Interpreter.h"

#include <memory>

namespace sinter {

/// Memory after one kernel.
struct Snapshot {
  std::vector<uint8_t> arena, kv;
  std::vector<float> logits, argmaxValue;
  std::vector<int32_t> argmaxIndex;
};

class NativeModel {
public:
  /// `isa` is one of kIsaV3 and so on. `weights` interprets the same module.
  static Result<std::unique_ptr<NativeModel>>
  compile(mlir::ModuleOp planned, uint32_t isa, const interp::Interpreter &weights, int64_t pages);
  ~NativeModel();

  /// Runs a step; afterwards `after` holds memory after each op, by the op's name.
  Status step(const std::string &entry, const interp::Batch &batch);
  std::map<std::string, Snapshot> after;

  /// Resident bytes of each weight, to be spoilt by tests.
  size_t numWeights() const { return weights_.size(); }
  uint8_t *weightData(size_t i) { return weights_[i].data(); }
  size_t weightBytes(size_t i) const { return weights_[i].bytes; }

  /// K or V of one layer in a snapshot's pool, as the interpreter's caches hold them.
  void readCache(const Snapshot &snapshot, unsigned layer, interp::PagedCache &cache) const;

private:
  NativeModel() = default;
  Status load(const std::string &bytes);
  Status packWeights(mlir::ModuleOp planned, const interp::Interpreter &weights);
  static void parallelFor(const SinterRt *rt, SinterKernel kernel, const SinterLaunch *launch,
                          uint32_t tasks);
  static int32_t fail(const SinterRt *rt, const char *message);

  /// 64-byte aligned memory full of NaN.
  struct Memory {
    explicit Memory(size_t bytes = 0);
    uint8_t *data() const;
    std::vector<uint8_t> storage;
    size_t bytes;
  };

  StepProgram program_;
  SinterStepFn step_ = nullptr;
  void *library_ = nullptr;
  std::vector<Memory> weights_;
  std::vector<void *> weightPointers_;
  Memory arena_, kv_, scratch_;
  size_t pageBytes_ = 0, vocab_ = 0;
  DType cacheType_ = DType::F32;
  SinterModel model_ = {};
  Snapshot outputs_; ///< the caller's memory of the current step
  unsigned entry_ = 0;
  std::string message_;
};

/// Element `i` of memory as a double.
double readElement(const uint8_t *memory, DType type, size_t i);

} // namespace sinter
