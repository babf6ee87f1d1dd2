//===- NativeGraphsTest.cpp - compiled graphs, op by op -------------------===//
//
// Random graphs become machine code. Every op's results are compared with the interpreter in
// declared mode on the same inputs: after each op the interpreter continues with what the kernel
// stored (teacher forcing), so that each op is held to the bound of one op.
//
//   SINTER_FUZZ_SEED=17 NativeGraphsTests   runs one graph and prints it when it fails
//   SINTER_FUZZ_GRAPHS=500 ...              runs more
//
//===----------------------------------------------------------------------===//
#include "GraphRuns.h"
#include "NativeModel.h"

#include "models/Checkpoint.h"
#include "models/ImportXfmr.h"
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Pipelines.h"
#include "sinter/Registration.h"
#include "sinter/Transforms/Passes.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Pass/PassManager.h"

#include "llvm/Support/Format.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

using namespace mlir;
using namespace sinter;
using namespace sinter::interp;
using namespace sinter::xfmr;

namespace {

uint32_t best() {
  if (!__builtin_cpu_supports("x86-64-v4"))
    return kIsaV3;
  return __builtin_cpu_supports("avx512bf16") ? kIsaV4Bf16 : kIsaV4;
}

constexpr int64_t kPages = 12;
const StepSizes kSteps = {{19, 3}, {1, 1}, {0, 14}, {1, 0}, {17, 1}};

/// Relative L2 of one op against `declared`: a rounding that falls the other way now and then.
double bound(DType type) { return type == DType::BF16 ? 2e-3 : type == DType::F16 ? 2.5e-4 : 1e-5; }

DType dtypeOf(Type type) {
  return type.isBF16()  ? DType::BF16
         : type.isF16() ? DType::F16
         : type.isF32() ? DType::F32
                        : DType::I32;
}

uint64_t setting(const char *name, uint64_t otherwise) {
  const char *text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// What exact mode makes of each op's inputs: results, or K and V of the cache written.
using ExactResults = std::map<std::string, std::vector<Tensor>>;

/// Watches an interpreter and makes it continue with what the kernels stored. In exact mode it
/// notes the interpreter's own results, in declared mode it compares.
class Comparison {
public:
  Comparison(const NativeModel &model, Caches &caches, ExactResults &exact, Mode mode)
      : model(model), caches(caches), exact(exact), mode(mode) {}

  void observe(Operation *op, ArrayRef<Tensor *> results) {
    const auto found = model.after.find(opName(op));
    if (found == model.after.end())
      return; // a view
    const Snapshot &snapshot = found->second;
    ++ops;
    place = 0;
    size_t next = 0;
    for (OpResult result : op->getResults())
      if (isa<RankedTensorType>(result.getType()))
        compare(op, result, snapshot, *results[next++]);
    if (auto cache = dyn_cast<CacheOpInterface>(op); cache && cache.writesCache())
      compareCache(op, cache, snapshot);
  }

  unsigned ops = 0;
  std::string difference; ///< the first one
  double worst = 0;       ///< largest error as a part of its bound

private:
  /// 16 bits: the kernel's error may be at most 1.5 times that of one right rounding.
  void check(Operation *op, const std::string &what, const Tensor &stored, const Tensor &mine,
             DType type) {
    std::vector<Tensor> &noted = exact[opName(op)];
    if (mode == Mode::Exact) {
      noted.push_back(mine);
      return;
    }
    const Tensor &right = noted[place++];
    const double apart = relativeL2(stored, mine) / bound(type);
    const double allowed = 1.5 * relativeL2(mine, right) + 1e-5;
    const double error = std::max(apart, relativeL2(stored, right) / allowed);
    worst = std::max(worst, error);
    if (error <= 1 || !difference.empty())
      return;
    llvm::raw_string_ostream(difference)
        << opName(op) << " (" << op->getName() << ") " << what
        << llvm::format(": relative L2 %.2e from declared, %.2e from exact (declared: %.2e)",
                        relativeL2(stored, mine), relativeL2(stored, right),
                        relativeL2(mine, right));
  }

  void compare(Operation *op, OpResult result, const Snapshot &snapshot, Tensor &tensor) {
    const DType type = dtypeOf(cast<RankedTensorType>(result.getType()).getElementType());
    const int64_t offset =
        op->getAttrOfType<DenseI64ArrayAttr>("xfmr.buffers")[result.getResultNumber()];
    const uint8_t *memory = snapshot.arena.data() + std::max<int64_t>(offset, 0);
    if (offset == -2)
      memory = type == DType::I32 ? reinterpret_cast<const uint8_t *>(snapshot.argmaxIndex.data())
               : tensor.shape.size() == 1
                   ? reinterpret_cast<const uint8_t *>(snapshot.argmaxValue.data())
                   : reinterpret_cast<const uint8_t *>(snapshot.logits.data());
    Tensor stored(tensor.shape);
    for (size_t i = 0; i < stored.data.size(); ++i)
      stored.data[i] = readElement(memory, type, i);
    if (type == DType::I32) {
      // An index may differ where two logits are as good as equal; its value is compared.
      tensor = stored;
      return;
    }
    check(op, "result " + std::to_string(result.getResultNumber()), stored, tensor, type);
    tensor = std::move(stored);
  }

  void compareCache(Operation *op, CacheOpInterface cache, const Snapshot &snapshot) {
    Value handle = cache.getKvOperand().get();
    while (auto writer = handle.getDefiningOp<CacheOpInterface>())
      handle = writer.getKvOperand().get();
    unsigned layer = 0;
    for (BlockArgument argument : cast<BlockArgument>(handle).getOwner()->getArguments()) {
      if (argument == handle)
        break;
      layer += isa<KvType>(argument.getType());
    }
    PagedCache &mine = caches[0][layer];
    PagedCache stored = mine;
    model.readCache(snapshot, layer, stored);
    const DType type = dtypeOf(cast<KvType>(handle.getType()).getElementType());
    check(op, "K", contents(stored.k(0, 0), stored), contents(mine.k(0, 0), mine), type);
    check(op, "V", contents(stored.v(0, 0), stored), contents(mine.v(0, 0), mine), type);
    mine = std::move(stored);
  }

  static Tensor contents(const double *begin, const PagedCache &cache) {
    const int64_t size = cache.pages() * cache.pageSize() * cache.heads() * cache.headDim();
    return Tensor({size}, std::vector<double>(begin, begin + size));
  }

  const NativeModel &model;
  Caches &caches;
  ExactResults &exact;
  const Mode mode;
  size_t place = 0; ///< next of the op's noted tensors
};

class NativeGraphs : public testing::Test {
protected:
  NativeGraphs()
      : context(registry(), MLIRContext::Threading::DISABLED),
        handler(&context, [this](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
            errors += diagnostic.str() + "; ";
          return success();
        }) {}

  static DialectRegistry registry() {
    DialectRegistry registry;
    registerDialects(registry);
    return registry;
  }

  LogicalResult plan(ModuleOp module, bool fused, int64_t coverCFrom) {
    PassManager manager(&context);
    PipelineOptions options = cpuPipelineOptions();
    options.coverCFrom = coverCFrom;
    if (fused)
      addFusionPipeline(manager, options);
    else
      addSpecialiseStage(manager, options);
    manager.addPass(createAssignWeightLayout());
    manager.addPass(createPlan());
    return manager.run(module);
  }

  /// Plans, compiles and compares one graph; counts it as compiled or refused. The seed chooses
  /// fusions, instruction set and tokens.
  void check(const GeneratedGraph &graph, std::shared_ptr<WeightProvider> weights, uint64_t seed,
             const std::string &label, const std::function<void(NativeModel &)> &spoil = {}) {
    errors.clear();
    // Every other graph stays unfused: those ops have kernels too.
    ASSERT_TRUE(succeeded(plan(*graph.module, seed % 2 == 0, int64_t(seed % 3))))
        << label << ": " << errors;
    auto exact = Interpreter::create(*graph.module, weights, Mode::Exact);
    auto declared = Interpreter::create(*graph.module, weights, Mode::Declared);
    ASSERT_TRUE(exact.isOk() && declared.isOk()) << declared.status().message();
    const uint32_t isas = 1 + best() - kIsaV3, isa = kIsaV3 + uint32_t(seed / 2 % isas);
    declared->setWeightedRounded(isa == kIsaV4Bf16);
    auto model = NativeModel::compile(*graph.module, isa, *declared, kPages);
    if (!model) {
      ++refusals[model.status().message() + ": " + errors];
      EXPECT_TRUE(model.status().code() == StatusCode::Unsupported && !errors.empty())
          << label << ": " << model.status().message() << ": " << errors;
      return;
    }
    ++compiled;
    if (spoil)
      spoil(**model);
    const std::string difference = runAll(graph, seed, *exact, *declared, **model);
    differences += !difference.empty();
    if (difference.empty() || spoil)
      return;
    ADD_FAILURE() << label << " on " << cpuIsaName(isa) << ": " << difference;
    if (replay)
      ModuleOp(*graph.module).dump();
  }

  void checkGraph(uint64_t seed, const std::function<void(NativeModel &)> &spoil = {}) {
    const GeneratedGraph graph = generateGraph(context, seed, GraphSizes::Native);
    if (!graph.argmax)
      check(graph, randomWeights(seed), seed, "graph " + std::to_string(seed), spoil);
  }

  /// A checkpoint with the activations of type `activation`.
  void checkModel(const std::string &directory, DType activation, uint64_t seed) {
    const auto config = models::readModelConfig(directory);
    auto opened = models::openCheckpoint(directory);
    ASSERT_TRUE(config.isOk() && opened.isOk()) << opened.status().message();
    const auto checkpoint = std::make_shared<models::Checkpoint>(*std::move(opened));
    const auto variants = models::checkTensors(*config, *checkpoint);
    ASSERT_TRUE(variants.isOk()) << variants.status().message();
    const auto storedAs = [&](StringRef tensor) {
      const auto place = checkpoint->lookup(std::string_view(tensor.data(), tensor.size()));
      const std::string &type = place->tensor->dtypeName;
      return type == "BF16" ? DType::BF16 : type == "F16" ? DType::F16 : DType::F32;
    };
    models::ImportOptions options;
    options.activation = activation;
    GeneratedGraph graph;
    graph.module = models::importXfmr(context, *config, *variants, storedAs, options);
    graph.vocab = config->vocab;
    graph.page = options.pageSize;
    check(graph, fileWeights({checkpoint, &checkpoint->files()}), seed,
          directory + " in " + std::string(dtypeName(activation)));
  }

  std::string runAll(const GeneratedGraph &graph, uint64_t seed, Interpreter &exact,
                     Interpreter &declared, NativeModel &model) {
    const auto batches = makeBatches(graph, seed, kPages, kSteps);
    if (!batches)
      return batches.status().message();
    Caches exactCaches, declaredCaches;
    for (size_t i = 0; i < batches->size(); ++i) {
      const Batch &batch = (*batches)[i];
      const auto entry = chooseEntry(*graph.module, batch.numTokens(), (seed + i) % 3 == 0);
      if (!entry)
        return entry.status().message();
      if (i == 0) {
        exactCaches = *exact.makeCaches(*entry, kPages);
        declaredCaches = *declared.makeCaches(*entry, kPages);
      }
      if (const Status ran = model.step(*entry, batch); !ran)
        return ran.message();
      ExactResults noted;
      std::string difference = follow(exact, *entry, batch, exactCaches, model, noted);
      if (difference.empty())
        difference = follow(declared, *entry, batch, declaredCaches, model, noted);
      if (!difference.empty())
        return *entry + ": " + difference;
    }
    return "";
  }

  /// One interpreter through one step.
  std::string follow(Interpreter &interpreter, const std::string &entry, const Batch &batch,
                     Caches &caches, const NativeModel &model, ExactResults &noted) {
    Comparison comparison(model, caches, noted, interpreter.mode());
    interpreter.setObserver([&](Operation *op, unsigned, ArrayRef<Tensor *> results) {
      comparison.observe(op, results);
    });
    const auto results = interpreter.run(entry, batch, caches);
    if (!results)
      return results.status().message();
    if (comparison.ops != model.after.size())
      return "kernels ran that the interpreter did not";
    if (interpreter.mode() == Mode::Declared)
      opsCompared += comparison.ops;
    worst = std::max(worst, comparison.worst);
    return comparison.difference;
  }

  MLIRContext context;
  std::string errors;
  ScopedDiagnosticHandler handler;
  std::map<std::string, unsigned> refusals;
  unsigned compiled = 0, opsCompared = 0, differences = 0;
  double worst = 0;
  const bool replay = std::getenv("SINTER_FUZZ_SEED") != nullptr;
};

TEST_F(NativeGraphs, EveryOpIsWithinItsBound) {
  const uint64_t first = setting("SINTER_FUZZ_SEED", 0);
  const uint64_t count = replay ? 1 : setting("SINTER_FUZZ_GRAPHS", 30);
  for (uint64_t seed = first; seed < first + count; ++seed)
    checkGraph(seed);
  std::printf("%u graphs compiled, %u ops compared, worst error %.3g of its bound\n", compiled,
              opsCompared, worst);
  for (const auto &[why, times] : refusals)
    std::printf("refused %3u: %s\n", times, why.c_str());
  EXPECT_TRUE(replay || compiled * 2 >= count) << "too few graphs were compiled";
}

/// Real layer shapes: GQA 1 to 8, head sizes 64 to 128, odd intermediate sizes, biases, 16-bit
/// weights under f32 activations and the other way round.
TEST_F(NativeGraphs, EveryOpOfEveryCheckpointIsWithinItsBound) {
  const std::string root = std::string(SINTER_SOURCE_DIR) + "/";
  std::vector<std::string> directories = {root + "models/shakespeare"};
  for (const auto &entry : std::filesystem::directory_iterator(root + "test/models/golden"))
    if (entry.is_directory())
      directories.push_back(entry.path().string());
  std::sort(directories.begin(), directories.end());
  const DType types[] = {DType::F32, DType::BF16, DType::F16};
  for (size_t i = 0; i < directories.size(); ++i)
    checkModel(directories[i], types[i % 3], 2 * i);
  EXPECT_EQ(compiled, directories.size());
  std::printf("%u ops compared, worst error %.3g of its bound\n", opsCompared, worst);
}

/// One weight with the sign of an element in every 32 bytes flipped: the bounds notice.
TEST_F(NativeGraphs, ASpoiltWeightIsSeen) {
  for (uint64_t seed = 100; seed < 106; ++seed)
    checkGraph(seed, [&](NativeModel &model) {
      const size_t victim = seed % model.numWeights();
      for (size_t i = 3; i < model.weightBytes(victim); i += 32)
        model.weightData(victim)[i] ^= 0x80;
    });
  EXPECT_GE(compiled, 4u);
  EXPECT_EQ(differences, compiled);
}

} // namespace
