//===- Diagnostics.h - the first error of MLIR as one line ------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include "mlir/IR/Diagnostics.h"

#include <string>

namespace sinter {

/// Keeps the first error while it lives; warnings and remarks are dropped.
class FirstError {
public:
  explicit FirstError(mlir::MLIRContext &context);

  /// The error, or `otherwise` when a stage failed without a word.
  Status status(const std::string &otherwise) const;

private:
  std::string text;
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace sinter
