//===- TunePack.h - kernels to be measured on a GPU -------------*- C++ -*-===//
//
// The file that `sinter-compile --tune-pack` wrote (docs/tuning.md), parsed and checked: every
// index and offset is in range.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/abi/Manifest.h"
#include "sinter/Abi/sinter_abi.h"
#include "sinter/Support/Status.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sinter::tune {

struct Launch {
  uint32_t kernel = 0;
  uint32_t grid = 1;
  std::vector<SinterArg> args;
};

/// Launches that are measured together, on memory of their own.
struct Sequence {
  std::string name;
  uint32_t tokens = 1, rows = 1;
  uint32_t maxQ = 0; ///< 0: one sequence of the model has all tokens, else each has one
  uint64_t arenaBytes = 0;
  uint64_t persistentBytes = 0; ///< at the arena's end: zero at first
  bool readsKv = false;
  std::vector<uint64_t> weights; ///< bytes
  std::vector<Launch> setup;     ///< once
  std::vector<Launch> launches;
};

/// One of the kernels that a linear could be.
struct Variant {
  std::string choice; ///< as the tuned table spells it
  double predicted = 0;
  Sequence sequence;
};

struct Linear {
  std::string shape, op;
  uint64_t resultAt = 0, resultBytes = 0; ///< in the arena: what the variants must agree on
  std::optional<DType> resultType;        ///< none: they need not
  std::vector<Variant> variants;          ///< the first is what the compiler's rules choose
};

struct Fusion {
  std::string pass, name, shape;
  uint32_t tokens = 1;
  size_t fused = 0, apart = 0;                      ///< sequences
  std::optional<size_t> shared;                     ///< stands before both sides
  std::vector<std::pair<uint32_t, uint32_t>> gemms; ///< N, K
};

struct Pack {
  std::string chip, model, compiler;
  Manifest manifest; ///< target, isas, modules and kernels
  std::string ptx, cubin;
  uint64_t layers = 1, page = 16, layerBytes = 0, pageBytes = 0; ///< of the cache
  uint64_t vocab = 0;
  std::vector<Sequence> sequences;
  std::vector<Linear> linears;
  std::vector<Fusion> fusions;
};

/// `what` names the bytes in errors.
Result<Pack> parsePack(const std::string &bytes, const std::string &what);

} // namespace sinter::tune
