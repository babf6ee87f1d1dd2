//===- TuneCandidates.h - what a linear could be ----------------*- C++ -*-===//
#pragma once

#include "sinter/Conversion/StepProgram.h"

#include <string>
#include <vector>

namespace sinter {

/// A kernel on its own: what it is launched with, on memory laid out for it.
struct TuneLinear {
  struct Variant {
    std::string kernel; ///< as the tuned table spells it; the first is the rules' choice
    double predicted = 0;
    unsigned index = 0; ///< into StepProgram::kernels
    int64_t grid = 1;
    std::vector<SinterArg> args; ///< arena offsets and weights, by their index in weightBytes
    int64_t arenaBytes = 0;
  };
  std::string shape; ///< as the tuned table spells it
  std::string op;    ///< one op that has it: "layers.0.attn.qkv"
  int64_t tokens = 1;
  bool rows = false; ///< tokens are SinterBatch::num_rows
  std::vector<int64_t> weightBytes;
  int64_t resultAt = 0, resultBytes = 0; ///< arena: what all variants must agree on
  std::string resultType;                ///< "bf16", "f16" or "f32"; empty: variants differ
  std::vector<Variant> variants;
};

} // namespace sinter
