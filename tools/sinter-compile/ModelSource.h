//===- ModelSource.h - what a model directory says --------------*- C++ -*-===//
#pragma once

#include "models/Checkpoint.h"
#include "models/GenerationConfig.h"
#include "models/ModelConfig.h"

#include <optional>
#include <string>
#include <string_view>

namespace sinter {

/// Everything of a model that goes into a compiled one, but for the weights' values.
struct ModelSource {
  std::string name;
  std::string directory; ///< absolute; empty for a named shape
  models::ModelConfig config;
  models::WeightVariants variants;
  models::GenerationConfig generation;
  std::optional<models::Checkpoint> checkpoint; ///< none for a named shape
  std::string tokenizer;                        ///< tokenizer.json; may be empty
  std::string chatTemplate;                     ///< Jinja; may be empty

  /// How a tensor is stored.
  DType weightDType(std::string_view tensor) const;
  /// Activations have the type the model was saved as, unless asked otherwise.
  DType defaultDType() const;
};

/// A directory in Hugging Face form.
Result<ModelSource> openModelDirectory(const std::string &path);

/// A published size by its name, without weights.
Result<ModelSource> openNamedModel(std::string_view name);

} // namespace sinter
