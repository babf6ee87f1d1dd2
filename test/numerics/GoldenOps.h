//===- GoldenOps.h - transformers' Qwen3, op by op --------------*- C++ -*-===//
//
// Reads test/numerics/golden and writes each recorded operation as an xfmr graph of one function
// @f over the recorded inputs.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Interpreter/Batch.h"
#include "sinter/Interpreter/Tensor.h"
#include "sinter/Interpreter/Weights.h"
#include "sinter/Support/Safetensors.h"

#include <memory>
#include <string>
#include <vector>

namespace sinter::interp {

/// One operation as recorded. Names of weights are those of the file ("weights/model.norm.weight").
struct GoldenOp {
  std::string op;
  std::vector<std::string> inputs; ///< without the dtype prefix
  std::string output;
  std::string weight, bias; ///< empty: none
  double eps = 0;
  double scale = 0;
  std::string frequencies; ///< rope: name of the inverse frequencies
  std::string positions;
  double attentionScaling = 1;
};

class GoldenFile {
public:
  static Result<GoldenFile> open(const std::string &folder);

  const std::vector<GoldenOp> &ops() const { return ops_; }
  /// The rotary embedding alone: q and k under three scalings.
  const std::vector<GoldenOp> &ropes() const { return ropes_; }
  Result<Tensor> tensor(const std::string &name) const;
  /// "f32/layers.0.q" or "positions".
  Result<Tensor> value(const std::string &dtype, const std::string &name) const;
  std::shared_ptr<WeightProvider> weights() const { return weights_; }

private:
  std::vector<GoldenOp> ops_, ropes_;
  std::shared_ptr<std::vector<SafetensorsFile>> files_;
  std::shared_ptr<WeightProvider> weights_;
};

/// What runs the op: a module, its arguments and the batch.
struct GoldenCase {
  std::string text;
  std::vector<Tensor> arguments;
  Batch batch;
  Tensor want;
};

/// `op` in `dtype` ("f32", "bf16"); weights are bf16 as recorded.
Result<GoldenCase> makeCase(const GoldenFile &file, const GoldenOp &op, const std::string &dtype);

} // namespace sinter::interp
