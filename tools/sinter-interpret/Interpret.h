//===- Interpret.h - runs a graph over a prompt -----------------*- C++ -*-===//
//
// The command line's half that links MLIR. Nothing here throws.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sinter {

struct InterpretRequest {
  std::string graphFile; ///< name, for messages
  std::string graphText;
  std::string weights; ///< model directory or "random:SEED"
  std::vector<int32_t> tokens;
  bool declared = false; ///< round where the ops say so
  std::string entry;     ///< empty: the first that fits each step
  std::string logits;    ///< .npy of every position's logits, or empty
  std::string dump;      ///< folder for every op's results, or empty
  uint64_t pageOrder = 0;
  int64_t chunk = 0; ///< most tokens per step, 0: as many as an entry takes
};

/// Returns the report on the last position.
Result<std::string> interpret(const InterpretRequest &request);

} // namespace sinter
