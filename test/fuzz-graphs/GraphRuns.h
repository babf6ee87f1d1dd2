//===- GraphRuns.h - what a generated graph computes ------------*- C++ -*-===//
#pragma once

#include "GraphGenerator.h"

#include "sinter/Interpreter/Interpreter.h"

namespace sinter {

/// Everything a few steps of two sequences leave behind.
struct RunRecord {
  std::vector<interp::Tensor> logits; ///< per step, or the values with an argmax head
  std::vector<interp::Tensor> index;  ///< per step, with an argmax head
  std::vector<interp::Tensor> caches; ///< K and V of every handle, at the end
};

/// New tokens of two sequences, step by step.
using StepSizes = std::vector<std::pair<int64_t, int64_t>>;

/// The steps' batches on shuffled pages, with random tokens.
Result<std::vector<interp::Batch>> makeBatches(const GeneratedGraph &graph, uint64_t seed,
                                               int64_t pages, const StepSizes &steps);

/// The first entry with that head for so many tokens.
Result<std::string> chooseEntry(mlir::ModuleOp module, int64_t tokens, bool argmax);

struct RunOptions {
  interp::Mode mode = interp::Mode::Exact;
  bool argmax = false; ///< which head to ask for where there are two
  bool arena = false;  ///< play the buffer plan; an error when it overwrites what is read
};

/// Prefill of two sequences on shuffled pages, then decode and a further chunk, on random weights;
/// all chosen by `seed`. Each step runs in the first entry that takes it.
Result<RunRecord> runSteps(mlir::ModuleOp module, const GeneratedGraph &graph, uint64_t seed,
                           const RunOptions &options);

/// Empty when the records agree: logits to `bound` in relative L2, indices exactly. Logits and
/// an argmax head are compared by largest value and place. Caches only when both have as many.
std::string compareRuns(const RunRecord &got, const RunRecord &want, double bound);

} // namespace sinter
