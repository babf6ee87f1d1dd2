//===- Graph.h - runs a graph given as text ---------------------*- C++ -*-===//
//
// Keeps MLIR out of the tests that only state inputs and expected values.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Interpreter/Batch.h"
#include "sinter/Interpreter/Tensor.h"
#include "sinter/Interpreter/Weights.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sinter::interp {

enum class Mode : int;

struct GraphCall {
  std::vector<Tensor> arguments;
  std::map<std::string, Tensor> weights; ///< unless `provider` is set
  std::shared_ptr<WeightProvider> provider;
  Batch batch;
  int64_t pages = 8;
};

/// Runs function @f of the module `text` with fresh caches.
Result<std::vector<Tensor>> runGraph(const std::string &text, Mode mode, const GraphCall &call);

/// The first K and V cache after that run: [pages * page, heads, head_dim], rank by rank.
struct CacheContents {
  std::vector<Tensor> k, v;
};
Result<CacheContents> cacheAfter(const std::string &text, Mode mode, const GraphCall &call);

/// A batch of one sequence over pages 0, 1, ...: tokens at positions past, past + 1, ...
Batch oneSequence(int64_t tokens, int64_t pageSize, int64_t past = 0);

} // namespace sinter::interp
