//===- sinter-compile.cpp - a model becomes one file ----------------------===//
#include "Compile.h"
#include "ModelSource.h"

#include "models/NamedConfigs.h"
#include "sinter/Support/MappedFile.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <system_error>

using namespace sinter;

namespace {

constexpr const char *kExamples = R"(examples:
  sinter-compile ~/Qwen3-0.6B                     writes Qwen3-0.6B.sinter here
  sinter-compile ~/Qwen3-0.6B --dtype f32 -o a.sinter
  sinter-compile qwen3-0.6b                       a published shape, for random weights
  sinter-compile models/shakespeare --emit=fused  prints the graph after fusion
  sinter-compile graph.mlir --emit=asm            a graph as text)";

constexpr uint64_t kMaxGraphBytes = 256 << 20;

struct Arguments {
  std::string input;
  std::string output;
  CompileRequest request;
};

bool endsWith(const std::string &text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

Result<std::optional<ModelSource>> openInput(const std::string &input, CompileRequest &request) {
  std::error_code ignored;
  if (std::filesystem::is_directory(input, ignored)) {
    SINTER_ASSIGN_OR_RETURN(ModelSource source, openModelDirectory(input));
    return std::optional<ModelSource>(std::move(source));
  }
  if (models::findNamedConfig(input)) {
    SINTER_ASSIGN_OR_RETURN(ModelSource source, openNamedModel(input));
    return std::optional<ModelSource>(std::move(source));
  }
  if (!endsWith(input, ".mlir")) {
    std::string names;
    for (std::string_view name : models::namedConfigs())
      names += (names.empty() ? "" : ", ") + std::string(name);
    return notFound(input + ": neither a model directory, nor a .mlir file, nor one of " + names);
  }
  request.graphFile = input;
  SINTER_ASSIGN_OR_RETURN(request.graphText, readTextFile(input, kMaxGraphBytes));
  return std::optional<ModelSource>();
}

Status run(Arguments &arguments) {
  SINTER_ASSIGN_OR_RETURN(const auto model, openInput(arguments.input, arguments.request));
  arguments.request.model = model ? &*model : nullptr;
  SINTER_ASSIGN_OR_RETURN(const CompileResult result, compile(arguments.request));
  std::cout << result.output;
  return Status::ok();
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Compiles a model directory, a published shape or a graph to one file.\n",
               "sinter-compile"};
  app.footer(kExamples);
  Arguments arguments;
  CompileRequest &request = arguments.request;
  const std::map<std::string, EmitStage> stages = {{"xfmr", EmitStage::Xfmr},
                                                   {"fused", EmitStage::Fused},
                                                   {"lowered", EmitStage::Lowered},
                                                   {"llvm", EmitStage::Llvm},
                                                   {"asm", EmitStage::Asm}};
  app.add_option("INPUT", arguments.input, "Model directory, shape name or .mlir file")->required();
  app.add_option("-o", arguments.output, "Output file");
  app.add_option("--emit", request.emit, "Print a stage instead: xfmr, fused, lowered, llvm, asm")
      ->transform(CLI::CheckedTransformer(stages));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp &help) {
    return app.exit(help);
  } catch (const CLI::ParseError &error) {
    std::cerr << "sinter-compile: error: " << error.what() << "\n";
    return 1;
  }
  const Status status = run(arguments);
  if (status)
    return 0;
  std::cerr << "sinter-compile: error: " << status.message() << "\n";
  return 1;
}
