//===- AssignWeightLayout.cpp - one resident form per weight and cache ----===//
//
//   weight read as a matrix     -> layout tiled16 (cpu), row_major (cuda)
//   any other weight            -> layout plain
//   kv<.., token_major>         -> kv<.., k_packed> (cpu), where the page holds whole vectors
//
//===----------------------------------------------------------------------===//
#include "sinter/Dialect/Xfmr.h"
#include "sinter/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace sinter::xfmr;

namespace sinter::xfmr {
#define GEN_PASS_DEF_ASSIGNWEIGHTLAYOUT
#include "sinter/Transforms/Passes.h.inc"
} // namespace sinter::xfmr

namespace {

/// Attention kernels work on this many cached positions at once.
constexpr int64_t kPackedPage = 16;

struct Readers {
  Operation *packed = nullptr;
  Operation *plain = nullptr;
};

Readers readersOf(WeightOp weight, const SymbolUserMap &users) {
  Readers readers;
  for (Operation *user : users.getUsers(weight)) {
    auto get = dyn_cast<GetWeightOp>(user);
    if (!get)
      continue;
    for (OpOperand &use : get.getResult().getUses()) {
      auto reader = dyn_cast<MatrixReaderOpInterface>(use.getOwner());
      (reader && &reader.getMatrixOperand() == &use ? readers.packed : readers.plain) =
          use.getOwner();
    }
  }
  return readers;
}

/// Types of the arguments, of every value inside and of the signature.
void packCaches(func::FuncOp func) {
  const auto packed = [](Type type) -> Type {
    auto kv = dyn_cast<KvType>(type);
    if (!kv || kv.getPage() % kPackedPage)
      return type;
    return KvType::get(kv.getContext(), kv.getHeads(), kv.getPage(), kv.getHeadDim(),
                       kv.getElementType(), KvLayout::KPacked);
  };
  func.walk([&](Block *block) {
    for (BlockArgument argument : block->getArguments())
      argument.setType(packed(argument.getType()));
    for (Operation &op : *block)
      for (OpResult result : op.getResults())
        result.setType(packed(result.getType()));
  });
  const auto all = [&](TypeRange types) { return llvm::map_to_vector(types, packed); };
  func.setFunctionType(FunctionType::get(func.getContext(), all(func.getArgumentTypes()),
                                         all(func.getResultTypes())));
}

struct AssignWeightLayout : sinter::xfmr::impl::AssignWeightLayoutBase<AssignWeightLayout> {
  using AssignWeightLayoutBase::AssignWeightLayoutBase;

  void runOnOperation() override {
    if (target != "cpu" && target != "cuda") {
      getOperation().emitError("target '") << target << "' is not cpu or cuda";
      return signalPassFailure();
    }
    const bool cpu = target == "cpu";
    const WeightLayout matrix = cpu ? WeightLayout::Tiled16 : WeightLayout::RowMajor;
    SymbolTableCollection tables;
    SymbolUserMap users(tables, getOperation());
    for (WeightOp weight : llvm::make_early_inc_range(getOperation().getOps<WeightOp>())) {
      const Readers readers = readersOf(weight, users);
      if (readers.packed && readers.plain) {
        weight.emitOpError() << "no layout suits both " << readers.packed->getName() << " at "
                             << readers.packed->getLoc() << " and " << readers.plain->getName()
                             << " at " << readers.plain->getLoc();
        return signalPassFailure();
      }
      if (users.useEmpty(weight)) // it would be loaded for nothing
        weight.erase();
      else
        weight.setLayout(readers.packed ? matrix : WeightLayout::Plain);
    }
    for (func::FuncOp func : getOperation().getOps<func::FuncOp>())
      if (cpu && func->hasAttr(kEntryAttr) && !func.isExternal())
        packCaches(func);
  }
};

} // namespace
