//===- Guessing.h - one request with prompt lookup --------------*- C++ -*-===//
#pragma once

#include "runtime/engine/Generator.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace sinter {

struct GuessingOptions {
  uint32_t promptLookup = 0; ///< most guesses in a step, at least 1
  uint32_t prefillChunk = 512;
  const std::atomic<bool> *stop = nullptr; ///< set from outside: cancel before the next step
  std::optional<uint64_t> shuffleSeed;     ///< for the order of pages
};

struct GuessingResult {
  Generation generation;
  std::vector<StepRecord> steps; ///< of decodes, `tokens` are those that were taken
  uint64_t guessed = 0, accepted = 0;
};

/// What Generator::run() does for one request, by the engine, which guesses tokens from repetitions
/// and checks them together. The prompt and maxTokens together must fit the executor's pages.
Result<GuessingResult> generateGuessing(Executor &executor, const GenerationRequest &request,
                                        const GuessingOptions &options,
                                        const std::function<bool(int32_t token)> &onToken);

} // namespace sinter
