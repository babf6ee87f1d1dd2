//===- sinter-opt.cpp - runs passes over .mlir files ----------------------===//
#include "sinter/Registration.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

/// libLLVM brings hundreds of options of its code generators, which no pass here reads: out of
/// --help (they stay in --help-hidden), so that it begins with what this tool does.
static void hideCodegenOptions() {
  for (auto &[name, option] : llvm::cl::getRegisteredOptions())
    if (option->getOptionHiddenFlag() == llvm::cl::NotHidden && !name.starts_with("help"))
      option->setHiddenFlag(llvm::cl::Hidden);
}

/// An error stays one line: the operation that it is about may be a whole module.
static void leaveOperationsOutOfErrors() {
  llvm::cl::Option *option = llvm::cl::getRegisteredOptions().lookup("mlir-print-op-on-diagnostic");
  static_cast<llvm::cl::opt<bool> *>(option)->setInitialValue(false);
}

/// One line on a wrong command line; LLVM's own report takes two.
static bool parse(int argc, char **argv, llvm::StringRef overview) {
  std::string report;
  llvm::raw_string_ostream stream(report);
  if (llvm::cl::ParseCommandLineOptions(argc, argv, overview, &stream))
    return true;
  llvm::StringRef line = llvm::StringRef(report).ltrim().split('\n').first;
  line = line.split(": ").second.split(".  Try: ").first;
  llvm::errs() << "sinter-opt: error: " << line << " (see sinter-opt --help)\n";
  return false;
}

static llvm::cl::extrahelp
    examples("\nexamples:\n"
             "  sinter-opt models/qwen3/qwen3-0.6b.mlir --xfmr-fuse-rms-norm-linear\n"
             "  sinter-opt graph.mlir --xfmr-fusion-pipeline=token-ranges=1,2-max -o fused.mlir\n"
             "  sinter-opt graph.mlir --xfmr-fusion-pipeline --xfmr-explain-fusion -o /dev/null\n");

int main(int argc, char **argv) {
  hideCodegenOptions();
  mlir::DialectRegistry registry;
  sinter::registerDialects(registry);
  sinter::registerPasses();
  llvm::cl::opt<std::string> input(llvm::cl::Positional, llvm::cl::desc("<input file>"),
                                   llvm::cl::init("-"));
  llvm::cl::opt<std::string> output("o", llvm::cl::desc("Output filename"),
                                    llvm::cl::value_desc("filename"), llvm::cl::init("-"));
  std::string overview = "Sinter: runs passes over xfmr graphs\n\n" + sinter::describePasses();
  overview = mlir::registerCLIOptions(overview, registry);
  leaveOperationsOutOfErrors();
  if (!parse(argc, argv, overview))
    return EXIT_FAILURE;
  if (input != "-" && !llvm::sys::fs::exists(input)) {
    llvm::errs() << "sinter-opt: error: " << input << ": no such file\n";
    return EXIT_FAILURE;
  }
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, input, output, registry));
}
