//===- ModelConfig.h - what config.json says about a model ------*- C++ -*-===//
//
// config.json in the spellings that transformers has used (`rope_scaling` and `torch_dtype`, or
// `rope_parameters` and `dtype`), read with the defaults of Qwen3Config. Whatever the graph cannot
// honour is refused by name. Free of LLVM, so that the runtime and the compiler read one text the
// same way.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/DType.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::models {

struct RopeScaling {
  enum class Kind { None, Linear, Yarn };
  Kind kind = Kind::None;
  double factor = 1;
  // The rest is yarn's.
  int64_t originalMaxPosition = 0;
  std::optional<double> attentionFactor; ///< absent: derived from factor (and the two mscales)
  std::optional<double> mscale;
  std::optional<double> mscaleAllDim;
  double betaFast = 32;
  double betaSlow = 1;
  bool truncate = true;
};

struct ModelConfig {
  std::string architecture; ///< "Qwen3ForCausalLM"
  std::string modelType;    ///< "qwen3"
  int64_t hidden = 0;
  int64_t intermediate = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kvHeads = 0;
  int64_t headDim = 0;
  int64_t vocab = 0;
  int64_t maxPositionEmbeddings = 0;
  double rmsNormEps = 0;
  double ropeTheta = 0;
  RopeScaling ropeScaling;
  bool tieWordEmbeddings = false;
  bool attentionBias = false;
  std::string hiddenAct;
  /// By layer: a token sees itself and the window - 1 positions before it; 0: every position.
  std::vector<int64_t> windows;
  std::optional<DType> dtype; ///< what the checkpoint was saved as, when the file says so
  std::optional<int64_t> bosId;
  std::optional<int64_t> padId;
  std::vector<int64_t> eosIds; ///< may be empty
};

/// `fileName` names the text in errors, as in
///   config.json: "num_hidden_layers": expected a positive integer, got "x"
Result<ModelConfig> parseModelConfig(std::string_view json, const std::string &fileName);

/// Reads `directory`/config.json.
Result<ModelConfig> readModelConfig(const std::string &directory);

struct RopeFrequencies {
  std::vector<float> invFreq; ///< headDim / 2 values
  float attentionScaling = 1; ///< multiplies cos and sin
};

/// The rotary frequencies in f32, operation by operation as transformers computes them.
RopeFrequencies ropeInvFreq(const ModelConfig &config);

} // namespace sinter::models
