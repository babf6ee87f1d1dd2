//===- Compile.cpp - from a model or a graph to any stage -----------------===//
#include "Compile.h"

#include "ModelSource.h"

#include "models/ImportXfmr.h"
#include "sinter/Registration.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;
using namespace sinter;

namespace {

/// Keeps the first error as one line; warnings and remarks are dropped.
class FirstError {
public:
  explicit FirstError(MLIRContext &context)
      : handler(&context, [this](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() == DiagnosticSeverity::Error && text.empty())
            llvm::raw_string_ostream(text) << locationText(diagnostic) << diagnostic;
          return success();
        }) {}

  Status status(const std::string &otherwise) const {
    std::string line = text.empty() ? otherwise : text;
    std::replace(line.begin(), line.end(), '\n', ' ');
    return invalidInput(line);
  }

private:
  static std::string locationText(const Diagnostic &diagnostic) {
    std::string where;
    llvm::raw_string_ostream stream(where);
    if (auto file = diagnostic.getLocation()->findInstanceOf<FileLineColLoc>())
      stream << file.getFilename().getValue() << ":" << file.getLine() << ":" << file.getColumn()
             << ": ";
    else if (auto name = diagnostic.getLocation()->findInstanceOf<NameLoc>())
      stream << name.getName().getValue() << ": ";
    return where;
  }

  std::string text;
  ScopedDiagnosticHandler handler;
};

std::string printModule(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  OpPrintingFlags flags;
  flags.enableDebugInfo(true).printNameLocAsPrefix();
  module.print(stream, flags);
  return text;
}

OwningOpRef<ModuleOp> importModel(MLIRContext &context, const CompileRequest &request) {
  const ModelSource &model = *request.model;
  models::ImportOptions options;
  options.name = model.name;
  options.activation = request.dtype.value_or(model.defaultDType());
  options.pageSize = request.pageSize;
  options.maxTokensPerStep = request.maxTokensPerStep;
  options.kScale = request.kScale;
  const auto weightDType = [&](StringRef tensor) {
    return model.weightDType(std::string_view(tensor.data(), tensor.size()));
  };
  return models::importXfmr(context, model.config, model.variants, weightDType, options);
}

OwningOpRef<ModuleOp> parseGraph(MLIRContext &context, const CompileRequest &request) {
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(request.graphText, request.graphFile),
                             llvm::SMLoc());
  return parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
}

} // namespace

Result<CompileResult> sinter::compile(const CompileRequest &request) {
  DialectRegistry registry;
  registerDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  FirstError errors(context);
  OwningOpRef<ModuleOp> module =
      request.model ? importModel(context, request) : parseGraph(context, request);
  if (!module || failed(verify(*module)))
    return errors.status("the graph is not valid");
  CompileResult result;
  if (request.emit == EmitStage::Xfmr) {
    result.output = printModule(*module);
    return result;
  }
  return unsupported("only --emit=xfmr works so far");
}
