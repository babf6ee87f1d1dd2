//===- GenerationConfig.h - generation_config.json --------------*- C++ -*-===//
#pragma once

#include "models/ModelConfig.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sinter::models {

/// How a model wants to be sampled; the defaults are those of transformers.
struct GenerationConfig {
  std::vector<int64_t> eosIds; ///< generation ends at any of these
  std::optional<int64_t> bosId;
  std::optional<int64_t> padId;
  std::optional<int64_t> maxNewTokens; ///< how many to generate
  std::optional<int64_t> maxLength;    ///< prompt included; what counts without the former
  bool doSample = false;               ///< false: greedy, and the next four are not used
  double temperature = 1;
  int64_t topK = 50; ///< 0: no limit
  double topP = 1;
  double minP = 0;
  double repetitionPenalty = 1; ///< greedy or not
};

/// Keys that select another decoding algorithm are refused; keys that describe the file are
/// ignored.
Result<GenerationConfig> parseGenerationConfig(std::string_view json, const std::string &fileName);

/// Reads `directory`/generation_config.json. Without that file: greedy, with the token ids of
/// config.json, which also stand in for ids that the file does not give.
Result<GenerationConfig> readGenerationConfig(const std::string &directory,
                                              const ModelConfig &config);

} // namespace sinter::models
