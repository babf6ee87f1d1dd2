//===- RunOptions.h - the command line of sinter-run ------------*- C++ -*-===//
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sinter {

struct RunOptions {
  std::string model; ///< artefact or model directory

  std::optional<std::string> prompt;
  std::string promptFile;
  std::string tokenIds; ///< LIST or @FILE

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

  uint32_t threads = 0;
  std::string isa;
  int device = 0; ///< number of the GPU
  bool noGraph = false;
  bool noPdl = false;
  std::string kvMemory;
  std::optional<uint64_t> maxContext;
  uint32_t prefillChunk = 0; ///< 0: the device's default
  std::string weights;

  std::string dtype;
  std::string target;
  bool noCache = false;

  std::string debug; ///< comma-separated: poison, sync, share-pages, shuffle-pages=SEED
};

} // namespace sinter
