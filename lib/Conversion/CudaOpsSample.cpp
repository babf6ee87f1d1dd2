//===- CudaOpsSample.cpp - entries that draw their tokens on the GPU ------===//
#include "CudaLowering.h"

#include "lib/Codegen/Gpu/Sampling.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace sinter;
using namespace sinter::gpu;

/// What gives the entry's logits; null in modules of single ops, which return something else.
static Operation *logitsOf(FunctionOpInterface func) {
  auto returned = cast<func::ReturnOp>(func.getFunctionBody().front().getTerminator());
  for (Value v : returned.getOperands())
    if (auto type = dyn_cast<RankedTensorType>(v.getType());
        type && type.getRank() == 2 && type.getElementType().isF32())
      return v.getDefiningOp();
  return nullptr;
}

/// After an entry that gives logits: one that does the same and draws a token from each row.
LogicalResult CudaLowering::endEntry(FunctionOpInterface func) {
  Operation *op = logitsOf(func);
  if (!func->hasAttr(xfmr::kHeadAttr) || entry->head != "logits" || !op)
    return success();
  StepEntry sampling = *entry;
  entry = &program.entries.emplace_back(std::move(sampling));
  entry->head = "sample";
  StringRef base = entry->name;
  base.consume_back("_logits");
  entry->name = (base + "_sample").str();

  const int64_t vocabulary = cast<RankedTensorType>(op->getResult(0).getType()).getDimSize(1);
  const SinterArg logits = {SINTER_ARG_LOGITS, 0, 0}, lists = room(sampleListBytes(entry->maxRows));
  const auto add = [&](StringRef name, StringRef suffix, auto emit, int64_t grid,
                       std::vector<SinterArg> args, int64_t rowBytes) -> LogicalResult {
    const std::string symbol = (name + "_" + Twine(vocabulary)).str();
    auto k = kernel(name, symbol, symbol, [&](Operation *module, StringRef symbol) {
      return emit(module, symbol, vocabulary);
    });
    if (failed(k))
      return failure();
    k->made.grid = grid;
    if (failed(start(op, suffix, *k, std::move(args), {})))
      return failure();
    entry->ops.back().op = name.str();
    entry->ops.back().actBytesPerToken = rowBytes;
    return success();
  };
  if (failed(add("sample_top", ".top", emitSampleTop, sampleTopGrid(entry->maxRows),
                 {logits, lists}, 4 * vocabulary + sampleListBytes(1))))
    return failure();
  return add("sample_draw", ".draw", emitSampleDraw, sampleDrawGrid(entry->maxRows),
             {logits,
              lists,
              {SINTER_ARG_ARGMAX_VALUE, 0, 0},
              {SINTER_ARG_ARGMAX_INDEX, 0, 0},
              persistent(feedbackAt)},
             sampleListBytes(1));
}
