//===- sinter-interpret.cpp - what a graph means, op by op ----------------===//
#include "Interpret.h"

#include "runtime/cli/ToolMain.h"
#include "sinter/Support/GraphText.h"
#include "sinter/Support/MappedFile.h"

#include <charconv>
#include <iostream>
#include <limits>

using namespace sinter;

namespace {

constexpr const char *kExamples = R"(examples:
  sinter-compile models/shakespeare --emit=xfmr > s.mlir
  sinter-interpret s.mlir --weights models/shakespeare --token-ids 12,7,300
  sinter-interpret s.mlir --weights models/shakespeare --token-ids @ids.txt --mode declared \
                   --chunk 8 --page-order 1 --logits logits.npy
  sinter-interpret s.mlir --weights random:7 --token-ids 1,2,3 --dump ops)";

constexpr uint64_t kMaxIdsBytes = 64 << 20;

/// Non-negative integers separated by commas or white space.
Result<std::vector<int32_t>> parseIds(const std::string &text, const std::string &where) {
  std::vector<int32_t> ids;
  constexpr const char *kSeparators = ", \t\r\n";
  for (size_t at = text.find_first_not_of(kSeparators); at != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    int32_t id = -1;
    const auto parsed = std::from_chars(text.data() + at, text.data() + end, id);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + end || id < 0)
      return invalidArgument(where + ": \"" + text.substr(at, std::min<size_t>(end - at, 40)) +
                             "\" is not a token id");
    ids.push_back(id);
    at = text.find_first_not_of(kSeparators, end);
  }
  if (ids.empty())
    return invalidArgument(where + ": no token ids");
  return ids;
}

Status run(InterpretRequest &request, const std::string &ids) {
  std::string idText = ids;
  if (!ids.empty() && ids[0] == '@') {
    SINTER_ASSIGN_OR_RETURN(idText, readTextFile(ids.substr(1), kMaxIdsBytes));
  }
  SINTER_ASSIGN_OR_RETURN(request.tokens,
                          parseIds(idText, ids[0] == '@' ? ids.substr(1) : "--token-ids"));
  SINTER_ASSIGN_OR_RETURN(request.graphText, readGraphFile(request.graphFile));
  SINTER_ASSIGN_OR_RETURN(const std::string report, interpret(request));
  std::cout << report;
  return Status::ok();
}

} // namespace

int main(int argc, char **argv) {
  CLI::App app{"Runs an xfmr graph over a prompt in f64, as the ops are defined, and prints the "
               "five best next tokens.\n",
               "sinter-interpret"};
  app.footer(kExamples);
  addVersionFlag(app);
  InterpretRequest request;
  std::string ids, mode = "exact";
  app.add_option("FILE", request.graphFile, "Graph, fused or not (.mlir)")->required();
  app.add_option("--weights", request.weights, "Model directory, or random:SEED")->required();
  app.add_option("--token-ids", ids, "Ids separated by commas, or @FILE")->required();
  app.add_option("--mode", mode, "exact: no rounding; declared: rounds where the ops say so")
      ->check(CLI::IsMember({"exact", "declared"}))
      ->capture_default_str();
  app.add_option("--entry", request.entry, "Entry function (default: the first that fits)");
  app.add_option("--logits", request.logits, "Write logits of every position, f32 [tokens, vocab]");
  app.add_option("--page-order", request.pageOrder, "Shuffle the cache's pages by this seed")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--chunk", request.chunk, "Most tokens per step (default: all at once)")
      ->check(CLI::Range(int64_t(1), std::numeric_limits<int64_t>::max()));
  app.add_option("--dump", request.dump, "Write every op's results into this folder as .npy");
  return toolMain(app, argc, argv, [&]() -> Result<int> {
    request.declared = mode == "declared";
    SINTER_RETURN_IF_ERROR(run(request, ids));
    return 0;
  });
}
