//===- Diagnostics.cpp - the first error of MLIR as one line --------------===//
#include "Diagnostics.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Location.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>

using namespace mlir;
using namespace sinter;

/// "graph.mlir:3:8: " or "layers.7.mlp.down: ", whatever the location knows.
static std::string locationText(Location location) {
  std::string where;
  llvm::raw_string_ostream stream(where);
  if (auto file = location->findInstanceOf<FileLineColLoc>())
    stream << file.getFilename().getValue() << ":" << file.getLine() << ":" << file.getColumn()
           << ": ";
  else if (auto name = location->findInstanceOf<NameLoc>())
    stream << name.getName().getValue() << ": ";
  return where;
}

FirstError::FirstError(MLIRContext &context)
    : handler(&context, [this](Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() == DiagnosticSeverity::Error && text.empty())
          text = locationText(diagnostic.getLocation()) + diagnostic.str();
        return success();
      }) {}

Status FirstError::status(const std::string &otherwise) const {
  std::string line = llvm::StringRef(text.empty() ? otherwise : text).trim().str();
  std::replace(line.begin(), line.end(), '\n', ' ');
  return invalidInput(line);
}
