//===- TunedTable.h - what was measured on a GPU ----------------*- C++ -*-===//
//
// A table as `sinter-bench tune` writes it: for one chip, the fastest kernel of each shape, and
// what each fusion takes beside the kernels it replaces. docs/tuning.md has the format.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Templates.h"

#include "sinter/Support/Status.h"

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace sinter::gpu {

class TunedTable {
public:
  struct Linear {
    LinearTuning tuning;
    double micros = 0;
  };
  /// Both sides in the same run, dependent launches on.
  struct Fusion {
    double fused = 0, apart = 0;
  };

  /// `name` stands in errors: where the text comes from.
  static Result<std::shared_ptr<const TunedTable>>
  parse(llvm::StringRef text, const std::string &name, llvm::StringRef chip);
  /// The table that the compiler carries for `chip`; null where there is none.
  static std::shared_ptr<const TunedTable> builtin(llvm::StringRef chip);

  const Linear *find(const LinearSpec &spec) const;
  /// The row of the fewest tokens that are at least `tokens`, else of the most.
  /// `shape`: "1024x2048".
  std::optional<std::pair<int64_t, Fusion>> fusion(llvm::StringRef pass, llvm::StringRef shape,
                                                   int64_t tokens) const;

private:
  std::map<std::string, Linear> linears;
  std::map<std::string, std::map<int64_t, Fusion>> fusions; ///< "pass shape" -> tokens
  friend struct TableReader;
};

} // namespace sinter::gpu
