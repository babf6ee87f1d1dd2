//===- Weights.h - where the interpreter's weights come from ----*- C++ -*-===//
#pragma once

#include "sinter/Interpreter/Tensor.h"
#include "sinter/Support/Safetensors.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace sinter::interp {

/// Checkpoint tensors by name.
class WeightProvider {
public:
  virtual ~WeightProvider() = default;
  /// Rows [begin, end) of a matrix with `columns` columns, or with `columns` 0 the elements
  /// [begin, end) of a vector.
  virtual Result<std::vector<double>> read(const std::string &tensor, int64_t begin, int64_t end,
                                           int64_t columns) = 0;
};

/// The tensors of safetensors files.
std::shared_ptr<WeightProvider>
fileWeights(std::shared_ptr<const std::vector<SafetensorsFile>> files);

/// Any tensor of any shape: a pure function of seed, name and place. All values have at most 8
/// significant bits, so that they are the same in bf16, f16 and f32. Vectors with "norm" in their
/// name lie in [0.5, 1.5), other vectors in [-0.5, 0.5); a matrix keeps the size of what it
/// multiplies.
std::shared_ptr<WeightProvider> randomWeights(uint64_t seed);

/// Tensors given by the caller.
std::shared_ptr<WeightProvider> givenWeights(std::map<std::string, Tensor> tensors);

} // namespace sinter::interp
