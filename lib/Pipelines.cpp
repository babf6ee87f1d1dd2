//===- Pipelines.cpp - the stages of docs/pipeline.md ---------------------===//
#include "sinter/Pipelines.h"

#include "sinter/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

#include <limits>

using namespace mlir;

sinter::PipelineOptions sinter::cpuPipelineOptions() {
  PipelineOptions options;
  options.tokenRanges = "1,2-max";
  return options;
}

sinter::PipelineOptions sinter::cudaPipelineOptions(int64_t maxTokens) {
  PipelineOptions options;
  options.target = "cuda";
  // A range is as long as its kernels' tiles are busy; up to 8 tokens every sequence is short. More
  // rows than prompts ask for are those of sequences that are decoded in the same step; few rows
  // have a faster head.
  struct Range {
    int64_t lo, hi;
    const char *suffix;
  };
  constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
  constexpr Range kRanges[] = {
      {1, 1, ""},     {2, 2, ""},     {3, 4, ""},      {5, 8, ""},         {9, 16, "@8"},
      {17, 32, "@8"}, {33, 64, "@8"}, {65, 128, "@8"}, {129, 256, "@8"},   {9, 64, ""},
      {65, 128, ""},  {129, 512, ""}, {513, 2048, ""}, {65, 2048, "#256"}, {2049, kAll, ""}};
  for (const Range &range : kRanges) {
    if (range.lo > maxTokens)
      continue;
    const int64_t hi = std::min(range.hi, maxTokens);
    options.tokenRanges += options.tokenRanges.empty() ? "" : ",";
    options.tokenRanges += std::to_string(range.lo);
    if (hi > range.lo)
      options.tokenRanges += "-" + std::to_string(hi);
    options.tokenRanges += range.suffix;
  }
  return options;
}

void sinter::addShardStage(OpPassManager &pm, const PipelineOptions &options) {
  // Two reads of one weight become one value, which the later stages compare.
  pm.addPass(createCSEPass());
  if (options.ranks != 1)
    pm.addPass(xfmr::createShard(xfmr::ShardOptions{options.ranks}));
}

void sinter::addMergeStage(OpPassManager &pm) {
  // Before the fusions: an unmerged norm has three users and goes into none of them.
  pm.addPass(xfmr::createMergeQkv());
  pm.addPass(xfmr::createMergeGateUp());
}

void sinter::addSpecialiseStage(OpPassManager &pm, const PipelineOptions &options) {
  xfmr::SpecialiseOptions specialise;
  specialise.tokenRanges = options.tokenRanges;
  specialise.heads = options.heads;
  specialise.coverCFrom = options.coverCFrom;
  pm.addPass(xfmr::createSpecialise(specialise));
}

void sinter::addFuseStage(OpPassManager &pm) {
  OpPassManager &func = pm.nest<func::FuncOp>();
  func.addPass(xfmr::createFuseQkNormRopeWrite());
  // The add goes first: what is left of linear -> add -> norm decides between the other two.
  func.addPass(xfmr::createFuseLinearAdd());
  func.addPass(xfmr::createFuseRmsNormLinear());
  func.addPass(xfmr::createFuseAddRmsNorm());
  func.addPass(xfmr::createFuseLinearArgmax());
}

void sinter::addLayoutStage(OpPassManager &pm, const PipelineOptions &options) {
  // After the fusions: which ops read a weight decides how it is laid out.
  pm.addPass(xfmr::createAssignWeightLayout(xfmr::AssignWeightLayoutOptions{options.target}));
}

void sinter::addPlanStage(OpPassManager &pm, const PipelineOptions &options) {
  pm.addPass(xfmr::createPlan(xfmr::PlanOptions{options.reuseBuffers}));
}

void sinter::addFusionPipeline(OpPassManager &pm, const PipelineOptions &options) {
  addShardStage(pm, options);
  addMergeStage(pm);
  addSpecialiseStage(pm, options);
  addFuseStage(pm);
}

void sinter::addXfmrPipeline(OpPassManager &pm, const PipelineOptions &options) {
  addFusionPipeline(pm, options);
  addLayoutStage(pm, options);
  addPlanStage(pm, options);
}

namespace {
struct XfmrPipelineOptions : PassPipelineOptions<XfmrPipelineOptions> {
  Option<int64_t> ranks{*this, "ranks", llvm::cl::desc("number of ranks"), llvm::cl::init(1)};
  Option<std::string> tokenRanges{*this, "token-ranges", llvm::cl::desc("as of xfmr-specialise"),
                                  llvm::cl::init("")};
  Option<std::string> heads{*this, "heads", llvm::cl::desc("as of xfmr-specialise"),
                            llvm::cl::init("logits,argmax")};
  Option<std::string> target{*this, "target", llvm::cl::desc("cpu or cuda"), llvm::cl::init("cpu")};
  Option<int64_t> coverCFrom{*this, "cover-c-from", llvm::cl::desc("as of xfmr-specialise"),
                             llvm::cl::init(0)};

  sinter::PipelineOptions values() const {
    sinter::PipelineOptions options;
    options.ranks = ranks;
    options.tokenRanges = tokenRanges;
    options.heads = heads;
    options.coverCFrom = coverCFrom;
    options.target = target;
    return options;
  }
};
} // namespace

void sinter::registerPipelines() {
  PassPipelineRegistration<>("xfmr-fuse", "Every fusion, in order", addFuseStage);
  PassPipelineRegistration<XfmrPipelineOptions>(
      "xfmr-fusion-pipeline", "Shard, merge, specialise and fuse an imported graph",
      [](OpPassManager &pm, const XfmrPipelineOptions &o) { addFusionPipeline(pm, o.values()); });
  PassPipelineRegistration<XfmrPipelineOptions>(
      "xfmr-pipeline", "xfmr-fusion-pipeline, then weight layouts and the buffer plan",
      [](OpPassManager &pm, const XfmrPipelineOptions &o) { addXfmrPipeline(pm, o.values()); });
}
