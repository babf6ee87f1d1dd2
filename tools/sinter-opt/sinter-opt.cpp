//===- sinter-opt.cpp - runs passes over .mlir files ----------------------===//
#include "sinter/Registration.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/CommandLine.h"

/// libLLVM brings hundreds of options of its code generators, which no pass here reads: out of
/// --help (they stay in --help-hidden), so that it begins with what this tool does.
static void hideCodegenOptions() {
  for (auto &[name, option] : llvm::cl::getRegisteredOptions())
    if (option->getOptionHiddenFlag() == llvm::cl::NotHidden && !name.starts_with("help"))
      option->setHiddenFlag(llvm::cl::Hidden);
}

int main(int argc, char **argv) {
  hideCodegenOptions();
  mlir::DialectRegistry registry;
  sinter::registerDialects(registry);
  sinter::registerPasses();
  std::string overview = "Sinter: runs passes over xfmr graphs\n\n" + sinter::describePasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, overview, registry));
}
