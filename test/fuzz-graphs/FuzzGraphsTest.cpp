//===- FuzzGraphsTest.cpp - no pass changes what a graph means ------------===//
//
// Each of 1000 random graphs goes through every pass alone, through the fusions in a random order,
// through the whole pipeline and through two ranks; each result must verify, must not change when
// the pass runs again, and must compute what the graph computed before, in f64.
//
//   SINTER_FUZZ_SEED=17 FuzzGraphsTests   runs one graph and prints it before and after a failure
//   SINTER_FUZZ_GRAPHS=20000 ...          runs more
//
//===----------------------------------------------------------------------===//
#include "GraphRuns.h"
#include "WrongRewrites.h"

#include "sinter/Dialect/Xfmr.h"
#include "sinter/Registration.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

#include "gtest/gtest.h"

#include <cstdlib>
#include <map>
#include <random>

using namespace mlir;
using namespace sinter;

namespace {

/// Fused and unfused graphs differ by the order of f64 sums.
constexpr double kBound = 1e-10;

uint64_t setting(const char *name, uint64_t otherwise) {
  const char *text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, OpPrintingFlags().enableDebugInfo());
  return text;
}

/// Counts what the passes build: rises when a pattern fired.
unsigned countBuilt(ModuleOp module) {
  unsigned built = 0;
  module.walk([&](Operation *op) {
    built += isa<xfmr::RmsNormLinearOp, xfmr::RmsNormSwigluOp, xfmr::LinearAddOp,
                 xfmr::AddRmsNormOp, xfmr::AllReduceAddRmsNormOp, xfmr::QkNormRopeWriteOp,
                 xfmr::LinearArgmaxOp, xfmr::AllReduceOp>(op);
    built += op->hasAttr(xfmr::kHeadAttr);
    if (auto weight = dyn_cast<xfmr::WeightOp>(op))
      if (auto sources = dyn_cast<ArrayAttr>(weight.getInit()))
        built += sources.size() > 1;
  });
  return built;
}

/// One context for all graphs; collects errors.
class Fuzzer {
public:
  Fuzzer()
      : context(registry(), MLIRContext::Threading::DISABLED),
        handler(&context, [this](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
            errors += diagnostic.str() + "; ";
          return success();
        }) {}

  /// Runs a textual pipeline on a module. False: refused, with the reason in `errors`.
  bool apply(const std::string &pipeline, ModuleOp module) {
    errors.clear();
    auto &manager = managers[pipeline];
    if (!manager) {
      manager = std::make_unique<PassManager>(&context);
      if (failed(parsePassPipeline(pipeline, *manager, llvm::errs()))) {
        ADD_FAILURE() << "no pipeline " << pipeline;
        return false;
      }
    }
    return succeeded(manager->run(module));
  }

  MLIRContext context;
  std::string errors;

private:
  static DialectRegistry &registry() {
    static DialectRegistry registry;
    static const bool done = (registerDialects(registry), registerPasses(), true);
    (void)done;
    return registry;
  }

  ScopedDiagnosticHandler handler;
  std::map<std::string, std::unique_ptr<PassManager>> managers;
};

const std::vector<std::string> kFusions = {
    "func.func(xfmr-fuse-qk-norm-rope-write)",
    "func.func(xfmr-fuse-linear-add{cover=%})",
    "func.func(xfmr-fuse-rms-norm-linear{cover=%})",
    "func.func(xfmr-fuse-add-rms-norm{cover=%})",
    "func.func(xfmr-fuse-linear-argmax)",
    "xfmr-merge-qkv",
    "xfmr-merge-gate-up",
};

std::string withCover(std::string pass, char cover) {
  const size_t at = pass.find('%');
  if (at != std::string::npos)
    pass[at] = cover;
  return pass;
}

struct PipelineCase {
  std::string label, prelude, pipeline;
  bool mayRefuse = false;
  std::vector<bool> argmaxHeads;  ///< heads to compare
  std::vector<std::string> again; ///< passes that must be idempotent afterwards
  bool arena = false;             ///< play the buffer plan
};

/// Fewer ranges than the default keep the test short.
std::string fusionPipeline(uint64_t seed, int ranks) {
  const char *ranges[] = {"1,2-max", "1,2,3-max", "1-2,3,4-max", "1-max"};
  return "xfmr-fusion-pipeline{token-ranges=" + std::string(ranges[seed % 4]) +
         " cover-c-from=" + std::to_string(seed / 4 % 4) + " ranks=" + std::to_string(ranks) + "}";
}

/// Every pass alone, all in a random order, the whole pipeline, and that with two ranks.
std::vector<PipelineCase> casesFor(uint64_t seed, bool argmax) {
  std::mt19937_64 random(seed * 7919 + 1);
  std::vector<PipelineCase> cases;
  std::vector<std::string> passes;
  for (const std::string &pass : kFusions) {
    passes.push_back(withCover(pass, char('a' + random() % 3)));
    // Two reads of one weight become one value, and merged linears: states in which more patterns
    // match. The write is only fused behind a merged q, k, v.
    const char *preludes[] = {"", "cse", "cse,xfmr-merge-qkv,xfmr-merge-gate-up"};
    const bool merged = pass.find("rope-write") != std::string::npos;
    cases.push_back({pass,
                     preludes[merged ? 2 : random() % 3],
                     passes.back(),
                     false,
                     {argmax},
                     {passes.back()}});
  }
  std::shuffle(passes.begin(), passes.end(), random);
  std::string all;
  for (const std::string &pass : passes)
    all += (all.empty() ? "" : ",") + pass;
  cases.push_back({"any order", "cse", all, false, {argmax}, passes});
  const std::string ranks = random() % 4 ? "2" : "4", shard = "xfmr-shard{ranks=" + ranks + "}";
  cases.push_back({"shard", "", shard, true, {argmax}, {shard}});
  if (argmax)
    return cases; // xfmr-specialise makes that head itself
  const std::vector<bool> both = {false, true};
  const std::string specialise = "xfmr-specialise{token-ranges=1,2-4,5-max}";
  cases.push_back({"specialise", "", specialise, false, both, {specialise}});
  cases.push_back({"pipeline", "", fusionPipeline(seed, 1), false, both, passes});
  const std::string plan = "xfmr-assign-weight-layout,xfmr-plan";
  cases.push_back({"planned", "", fusionPipeline(seed, 1) + "," + plan, false, both, {plan}, true});
  cases.push_back({"2 ranks", "", fusionPipeline(seed, 2), true, both, passes});
  return cases;
}

struct Tally {
  unsigned fired = 0, idle = 0, refused = 0;
};

class FuzzGraphs : public testing::Test {
protected:
  /// Checks one pipeline on a copy of the graph, for each head that it may have by then.
  void check(const GeneratedGraph &graph, uint64_t seed, const RunRecord &want,
             const PipelineCase &test) {
    OwningOpRef<ModuleOp> copy(ModuleOp(*graph.module).clone());
    if (!test.prelude.empty() && !fuzzer.apply(test.prelude, *copy))
      return report(seed, test.prelude, fuzzer.errors, "", "");
    const std::string before = replay ? print(*copy) : "";
    const unsigned builtBefore = countBuilt(*copy);
    if (!fuzzer.apply(test.pipeline, *copy)) {
      ++tally[test.label].refused;
      ++refusals[fuzzer.errors];
      if (!test.mayRefuse || fuzzer.errors.find("cannot shard") != 0)
        report(seed, test.pipeline, "refused: " + fuzzer.errors, before, "");
      return;
    }
    ++(countBuilt(*copy) > builtBefore ? tally[test.label].fired : tally[test.label].idle);
    for (bool argmax : test.argmaxHeads)
      if (const std::string difference = compare(*copy, graph, seed, want, argmax, test.arena);
          !difference.empty())
        report(seed, test.pipeline, difference, before, print(*copy));
    for (const std::string &pass : test.again)
      checkIdempotent(*copy, seed, pass, test.pipeline);
  }

  /// The pass changes nothing when it runs a second time. (A later pass may well give an earlier
  /// one new work, so a pipeline as a whole would be no test.)
  void checkIdempotent(ModuleOp module, uint64_t seed, const std::string &pass,
                       const std::string &after) {
    const std::string label = pass + " after " + after;
    if (!fuzzer.apply(pass, module))
      return report(seed, label, "refused: " + fuzzer.errors, print(module), "");
    const OperationFingerPrint once(module);
    const std::string before = replay ? print(module) : "";
    if (!fuzzer.apply(pass, module))
      return report(seed, label, "refused: " + fuzzer.errors, before, "");
    if (!(OperationFingerPrint(module) == once))
      report(seed, label, "is not idempotent", before, print(module));
  }

  std::string compare(ModuleOp module, const GeneratedGraph &graph, uint64_t seed,
                      const RunRecord &want, bool argmax, bool arena = false) {
    RunOptions options;
    options.argmax = argmax;
    options.arena = arena;
    const auto got = runSteps(module, graph, seed, options);
    return got ? compareRuns(*got, want, kBound) : got.status().message();
  }

  void report(uint64_t seed, const std::string &pipeline, const std::string &what,
              const std::string &before, const std::string &after) {
    ADD_FAILURE() << "graph " << seed << ", " << pipeline << ": " << what
                  << (replay ? "\n// before\n" + before + "\n// after\n" + after : "");
  }

  /// The graph's own results; also checks the generator.
  std::optional<RunRecord> reference(const GeneratedGraph &graph, uint64_t seed) {
    fuzzer.errors.clear();
    if (failed(verify(*graph.module))) {
      ADD_FAILURE() << "graph " << seed << " is not legal: " << fuzzer.errors;
      return std::nullopt;
    }
    RunOptions options;
    options.argmax = graph.argmax;
    auto record = runSteps(*graph.module, graph, seed, options);
    if (!record) {
      ADD_FAILURE() << "graph " << seed << ": " << record.status().message();
      return std::nullopt;
    }
    for (const interp::Tensor &tensor : record->logits)
      for (double value : tensor.data)
        if (!std::isfinite(value)) {
          ADD_FAILURE() << "graph " << seed << " computes " << value;
          return std::nullopt;
        }
    return *std::move(record);
  }

  void checkGraph(uint64_t seed) {
    const GeneratedGraph graph = generateGraph(fuzzer.context, seed);
    const auto want = reference(graph, seed);
    if (!want)
      return;
    for (const PipelineCase &test : casesFor(seed, graph.argmax))
      check(graph, seed, *want, test);
  }

  Fuzzer fuzzer;
  std::map<std::string, Tally> tally;
  std::map<std::string, unsigned> refusals;
  const bool replay = std::getenv("SINTER_FUZZ_SEED") != nullptr;
  const uint64_t first = setting("SINTER_FUZZ_SEED", 0);
  const uint64_t count = replay ? 1 : setting("SINTER_FUZZ_GRAPHS", 1000);
};

TEST_F(FuzzGraphs, EveryPassKeepsTheMeaning) {
  for (uint64_t seed = first; seed < first + count && !testing::Test::HasFatalFailure(); ++seed)
    checkGraph(seed);
  for (const auto &[label, counts] : tally)
    std::printf("%-45s fired %5u  idle %5u  refused %5u\n", label.c_str(), counts.fired,
                counts.idle, counts.refused);
  for (const auto &[why, times] : refusals)
    std::printf("refused %4u: %s\n", times, why.c_str());
  if (count < 1000)
    return;
  for (const auto &[label, counts] : tally)
    EXPECT_GE(counts.fired, count / 20) << label << " was hardly tested";
}

//===----------------------------------------------------------------------===//
// The comparison finds what it should
//===----------------------------------------------------------------------===//

class WrongRewrites : public FuzzGraphs, public testing::WithParamInterface<WrongRewrite> {};

TEST_P(WrongRewrites, AreFoundWithinAHundredGraphs) {
  unsigned applied = 0, found = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const GeneratedGraph graph = generateGraph(fuzzer.context, seed);
    const auto want = reference(graph, seed);
    ASSERT_TRUE(want.has_value());
    if (!GetParam().apply(*graph.module))
      continue;
    ++applied;
    ASSERT_TRUE(succeeded(verify(*graph.module))) << fuzzer.errors;
    found += !compare(*graph.module, graph, seed, *want, graph.argmax).empty();
  }
  EXPECT_GE(applied, 5u) << "the graphs do not tempt this rewrite";
  // A few graphs throw the rewritten part away, or compute values beside which an epsilon is
  // nothing.
  EXPECT_GE(found * 4, applied * 3) << found << " of " << applied;
}

/// All buffers at one place: every graph with two live tensors must notice.
TEST_F(FuzzGraphs, AWrongPlanIsFound) {
  unsigned found = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const GeneratedGraph graph = generateGraph(fuzzer.context, seed);
    const auto want = reference(graph, seed);
    ASSERT_TRUE(want && fuzzer.apply("xfmr-plan", *graph.module)) << fuzzer.errors;
    EXPECT_EQ(compare(*graph.module, graph, seed, *want, graph.argmax, true), "");
    ModuleOp(*graph.module).walk([](Operation *op) {
      if (auto offsets = op->getAttrOfType<DenseI64ArrayAttr>("xfmr.buffers")) {
        SmallVector<int64_t> moved;
        for (int64_t offset : offsets.asArrayRef())
          moved.push_back(std::min<int64_t>(offset, 0));
        op->setAttr("xfmr.buffers", DenseI64ArrayAttr::get(op->getContext(), moved));
      }
    });
    found += !compare(*graph.module, graph, seed, *want, graph.argmax, true).empty();
  }
  EXPECT_EQ(found, 20u);
}

INSTANTIATE_TEST_SUITE_P(All, WrongRewrites, testing::ValuesIn(wrongRewrites()),
                         [](const auto &info) { return info.param.name; });

} // namespace
