//===- Bench.h - decode and prefill through the product's loop --*- C++ -*-===//
#pragma once

#include "Records.h"

#include "sinter/Support/Status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sinter {

struct BenchOptions {
  std::string model; ///< artefact, model directory or named shape
  std::string weights;
  std::string dtype;
  std::string isa;
  uint32_t threads = 0;
  bool noCache = false;
  std::string json;

  std::vector<uint32_t> batches = {1};
  std::vector<uint32_t> contexts = {128};
  uint32_t tokens = 64; ///< decode: steps measured

  std::vector<uint32_t> lengths = {512};
  uint32_t chunk = 512;
  uint32_t repeats = 3;
};

Result<int> benchDecode(const BenchOptions &options);
Result<int> benchPrefill(const BenchOptions &options);

} // namespace sinter
