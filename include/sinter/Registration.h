//===- Registration.h - every dialect and pass of Sinter --------*- C++ -*-===//
#pragma once

#include <string>

namespace mlir {
class DialectRegistry;
}

namespace sinter {
/// Dialects that Sinter reads or produces, and nothing else of upstream.
void registerDialects(mlir::DialectRegistry &registry);
/// Sinter's passes and pipelines, then the few upstream passes its users need.
void registerPasses();
/// Sinter's passes and their summaries in pipeline order, for --help. After registerPasses.
std::string describePasses();
} // namespace sinter
