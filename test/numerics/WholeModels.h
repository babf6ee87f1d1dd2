//===- WholeModels.h - a checkpoint run by the interpreter ------*- C++ -*-===//
#pragma once

#include "models/ModelConfig.h"
#include "sinter/Interpreter/Tensor.h"
#include "sinter/Support/DType.h"
#include "sinter/Support/Status.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sinter::interp {

struct ModelOptions {
  DType activation = DType::F32;
  std::optional<DType> cache; ///< that of activations when not given
  bool kScale = true;
  double kNormFactor = 1; ///< every k_norm weight times this
  bool declared = false;
  bool fused = false; ///< after the whole pipeline
  int64_t coverC = 0; ///< token ranges from here on get cover c
  int64_t ranks = 1;
  /// Changes the configuration before import: what a wrong import would do.
  std::function<void(models::ModelConfig &)> spoil;
};

/// A checkpoint's graph with one growing sequence, or several.
class WholeModel {
public:
  static Result<std::unique_ptr<WholeModel>> open(const std::string &directory,
                                                  const ModelOptions &options);
  ~WholeModel();

  /// Forgets all sequences; later ones get pages in this order.
  Status restart(int64_t positions, int64_t sequences = 1, uint64_t pageOrder = 0);
  /// Appends tokens to each sequence and returns the logits of all of them, one row per token.
  Result<Tensor> step(const std::vector<std::vector<int32_t>> &tokens);
  /// K as it lies in the caches of one sequence that has `positions` positions, all layers.
  std::vector<double> storedKeys(int64_t positions) const;

private:
  WholeModel();
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace sinter::interp
