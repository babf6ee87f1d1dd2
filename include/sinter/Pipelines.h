//===- Pipelines.h - the stages of docs/pipeline.md -------------*- C++ -*-===//
#pragma once

#include <cstdint>
#include <string>

namespace mlir {
class OpPassManager;
}

namespace sinter {

struct PipelineOptions {
  int64_t ranks = 1;
  std::string tokenRanges; ///< empty: the default list of xfmr-specialise
  std::string heads = "logits,argmax";
  int64_t coverCFrom = 0;     ///< token ranges from here on get cover c; 0: none
  bool reuseBuffers = true;   ///< false: every activation a place of its own
  std::string target = "cpu"; ///< "cpu" or "cuda": decides layouts
};

/// What the CPU target asks for: its kernels take T at run time, a static T buys nothing.
PipelineOptions cpuPipelineOptions();
/// Entry points for few tokens of many sequences (decode) beside those for anything, steps of at
/// most `maxTokens` tokens.
PipelineOptions cudaPipelineOptions(int64_t maxTokens);

void addShardStage(mlir::OpPassManager &pm, const PipelineOptions &options);
void addMergeStage(mlir::OpPassManager &pm);
void addSpecialiseStage(mlir::OpPassManager &pm, const PipelineOptions &options);
void addFuseStage(mlir::OpPassManager &pm);

void addLayoutStage(mlir::OpPassManager &pm, const PipelineOptions &options);
void addPlanStage(mlir::OpPassManager &pm, const PipelineOptions &options);

/// From the imported graph to fused entry points: the first four stages above.
void addFusionPipeline(mlir::OpPassManager &pm, const PipelineOptions &options);
/// All stages above: from the imported graph to what a target lowers.
void addXfmrPipeline(mlir::OpPassManager &pm, const PipelineOptions &options);

/// --xfmr-fuse (the fusions), --xfmr-fusion-pipeline and --xfmr-pipeline, for sinter-opt.
void registerPipelines();

} // namespace sinter
