//===- RunOptions.h - the command line of sinter-run ------------*- C++ -*-===//
#pragma once

#include "runtime/cli/ModelFlags.h"

#include <cstdint>
#include <optional>
#include <string>

namespace sinter {

struct RunOptions : ModelFlags {
  std::optional<std::string> prompt;
  std::string promptFile;
  std::string tokenIds; ///< LIST or @FILE

  bool chat = false;
  std::string system; ///< prompt of a chat
  std::string chatTemplate;
  bool noThinking = false;

  std::optional<uint32_t> maxTokens;
  bool ignoreEos = false;
  bool greedy = false;
  std::optional<double> temperature;
  std::optional<int64_t> topK;
  std::optional<double> topP;
  std::optional<double> minP;
  std::optional<double> repetitionPenalty;
  std::optional<uint64_t> seed;

  bool json = false;
  bool echo = false;
  bool quiet = false;
  bool profile = false;
  std::string logits; ///< .npy to write

  std::optional<uint64_t> maxContext;
  uint32_t prefillChunk = 0; ///< 0: the device's default
  uint32_t promptLookup = 0; ///< tokens guessed at a time; 0: none

  std::string debug; ///< comma-separated: poison, sync, share-pages, shuffle-pages=SEED
};

} // namespace sinter
