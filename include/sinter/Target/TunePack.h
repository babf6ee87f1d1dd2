//===- TunePack.h - kernels to be measured on a GPU -------------*- C++ -*-===//
//
// What `sinter-compile --tune-pack` writes and `sinter-bench tune` reads (runtime/tune). One file:
//
//     sinter-tune-pack 1\n
//     <SHA-256 of what follows, hexadecimal>\n
//     <bytes of the JSON>\n
//     JSON, PTX texts (each with its NUL), cubins
//
// The JSON has modules and kernels as an artefact's metadata has them; `sequences`, lists of
// launches on memory of their own; `linears`, each with variants that are alternatives; `fusions`,
// each a fused sequence and the one it replaces. docs/tuning.md describes it.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "sinter/Conversion/StepProgram.h"
#include "sinter/Conversion/TuneCandidates.h"
#include "sinter/Target/DeviceImage.h"

#include "mlir/IR/BuiltinOps.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

/// Launches that belong together, cut out of a step's schedule or made for one kernel.
struct TuneSequence {
  struct Launch {
    unsigned kernel;
    int64_t grid;
    std::vector<SinterArg> args;
  };
  std::string name;
  int64_t tokens = 1, rows = 1;
  int64_t maxQ = 0;          ///< of the entry; 0: one sequence has all tokens
  std::vector<Launch> setup; ///< once, before the others are measured
  std::vector<Launch> launches;
  int64_t arenaBytes = 0, persistentBytes = 0; ///< the latter at its end, zero at first
  std::vector<int64_t> weights;                ///< bytes, by the index of arguments
  bool readsKv = false;
};

class TunePack {
public:
  /// A linear's alternatives and, by name, sequences of `program`, whose kernels are in `lowered`.
  /// What is not asked for is not compiled.
  struct Wanted {
    std::string key;                ///< the sequence is found by it afterwards
    std::vector<std::string> names; ///< launches of the entry: the op's name, or NAME.suffix
    int64_t tokens;
  };
  mlir::LogicalResult add(mlir::ModuleOp planned, mlir::ModuleOp lowered, StepProgram program,
                          std::vector<TuneLinear> linears, llvm::ArrayRef<Wanted> wanted,
                          const DeviceImageOptions &options);

  /// A fusion whose sides have been added; ignored where one of them has not, as in a model without
  /// it, or where the fused side has no kernel with `kernel` in its name. `shared` stands before
  /// both sides and is taken off. `gemms`: N x K of the linears in it.
  struct Fusion {
    std::string pass, name, shape;
    int64_t tokens = 1;
    std::string fused, apart, shared, kernel;
    std::vector<std::pair<int64_t, int64_t>> gemms;
  };
  void addFusion(const Fusion &fusion);

  /// N x K of the first launch whose op is called `name` in the entries for `tokens`.
  std::optional<std::string> shapeOf(const std::string &name, int64_t tokens) const;

  /// "16+8x128": query heads, cache heads and their size.
  const std::string &headShape() const { return heads; }

  /// The file's bytes.
  std::string write(const std::string &model) const;
  size_t kernels() const { return program.kernels.size(); }

private:
  std::optional<unsigned> find(const std::string &key) const;

  StepProgram program; ///< chip and kernels
  std::vector<DeviceModule> modules;
  std::vector<std::pair<std::string, TuneSequence>> sequences;
  std::vector<TuneLinear> linears; ///< kernels renumbered
  std::vector<Fusion> fusions;
  std::map<std::string, std::string> shapes; ///< "NAME tokens" -> NxK
  std::string heads;
  int64_t kvPageBytes = 0, kvPage = 16, kvLayers = 1, kvLayerBytes = 0, vocab = 0;
};

} // namespace sinter
