//===- Serve.h - one run of sinter-serve ------------------------*- C++ -*-===//
#pragma once

#include "runtime/cli/ModelFlags.h"

#include <cstdint>
#include <string>

namespace sinter {

struct ServeOptions : ModelFlags {
  std::string host = "127.0.0.1";
  int port = 8000;  ///< 0: any
  std::string name; ///< of the model; empty: that of its file or directory
  std::string chatTemplate;
  std::string apiKey;
  std::string apiKeyFile;
  bool quiet = false; ///< no line per request

  uint64_t maxContext = 0; ///< tokens of prompt and answer; 0: the model's
  uint32_t maxSequences = 256;
  uint32_t maxRequests = 1024; ///< running and queued
  uint32_t tokensPerStep = 0;  ///< 0: the engine's default
  uint32_t promptTokensPerStep = 0;
  std::string swapMemory;
  bool noPrefixCache = false;
  uint32_t promptLookup = 0; ///< tokens guessed at a time; 0: none
  uint32_t maxConnections = 512;
  std::string maxBody = "4MiB";
  uint32_t drainSeconds = 30;
};

/// Serves until it is told to end or the engine dies. The value is the exit status.
Result<int> serveModel(const ServeOptions &options);

} // namespace sinter
