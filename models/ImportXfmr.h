//===- ImportXfmr.h - a model configuration as an xfmr graph ----*- C++ -*-===//
//
// The only place that knows how Qwen3 is put together. The graph is as the paper has it: separate
// q, k, v, gate and up, no fusion; everything after works on the ops alone.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "models/Checkpoint.h"
#include "models/ModelConfig.h"
#include "sinter/Support/DType.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sinter::models {

struct ImportOptions {
  std::string name; ///< goes into the module's xfmr.model
  DType activation = DType::BF16;
  DType cache = DType::BF16;       ///< element type of K and V
  int64_t pageSize = 16;           ///< a power of two
  int64_t maxTokensPerStep = 2048; ///< capped by the model's positions
  std::vector<int64_t> eosIds;     ///< goes there too
  bool kScale = true;              ///< off: K is stored as it is (to show what that costs)
};

/// Builds `@step` for one model. `weightDType` says how the checkpoint stores a tensor. The
/// configuration and the variants must fit together, as checkTensors has made sure.
mlir::OwningOpRef<mlir::ModuleOp> importXfmr(mlir::MLIRContext &context, const ModelConfig &config,
                                             const WeightVariants &variants,
                                             llvm::function_ref<DType(llvm::StringRef)> weightDType,
                                             const ImportOptions &options);

} // namespace sinter::models
