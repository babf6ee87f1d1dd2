//===- Tune.h - which kernel is fastest -------------------------*- C++ -*-===//
//
// Measures a pack of sinter-compile --tune-pack and writes the table that sinter-compile --tuned
// reads; the fusions among it also as records.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <string>

namespace sinter {

struct TuneOptions {
  std::string pack;
  std::string output;       ///< table; rows of other shapes in it are kept
  std::string json;         ///< records
  std::string part = "all"; ///< "linears", "fusions" or "all"
  int device = 0;
  uint64_t poolMegabytes = 1024;
  uint32_t rounds = 9;
};

Result<int> benchTune(const TuneOptions &options);

} // namespace sinter
