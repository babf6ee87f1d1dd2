//===- Startup.h - how soon the first token is there ------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <string>

namespace sinter {

struct StartOptions {
  std::string model;   ///< artefact
  std::string weights; ///< directory; empty: a random checkpoint, or what the artefact was made of
  uint32_t threads = 0;
  int device = 0; ///< number of the GPU
  uint32_t repeats = 5;
  std::string json;
};

/// How fast weights get from page cache to where they are used, and the time from the start of
/// sinter-run to its first token.
Result<int> benchStart(const StartOptions &options);

} // namespace sinter
