//===- XfmrDialect.cpp - registration and function attributes -------------===//
#include "sinter/Dialect/Xfmr.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sinter::xfmr;

#include "sinter/Dialect/XfmrDialect.cpp.inc"

void XfmrDialect::initialize() {
  registerTypes();
  registerAttrs();
  addOperations<
#define GET_OP_LIST
#include "sinter/Dialect/XfmrOps.cpp.inc"
      >();
}

/// An entry returns, for every cache handle it is given, the last handle of that layer.
static LogicalResult verifyEntry(FunctionOpInterface func) {
  if (func.isExternal())
    return success();
  unsigned handles = llvm::count_if(func.getArgumentTypes(), llvm::IsaPred<KvType>);
  for (Operation &op :
       func.getFunctionBody().front().getTerminator()->getBlock()->getOperations()) {
    if (!op.hasTrait<OpTrait::IsTerminator>())
      continue;
    unsigned returned = 0;
    for (Value v : op.getOperands()) {
      if (!isa<KvType>(v.getType()))
        continue;
      ++returned;
      for (Operation *user : v.getUsers())
        if (auto cache = dyn_cast<CacheOpInterface>(user); cache && cache.writesCache())
          return op.emitOpError("returns a cache handle that ")
                 << user->getName() << " at " << user->getLoc() << " has consumed";
    }
    if (returned != handles)
      return op.emitOpError("returns ")
             << returned << " cache handles, the entry function has " << handles;
  }
  return success();
}

LogicalResult XfmrDialect::verifyOperationAttribute(Operation *op, NamedAttribute attr) {
  StringRef name = attr.getName();
  auto func = dyn_cast<FunctionOpInterface>(op);
  if (name == kEntryAttr) {
    if (!func || !isa<UnitAttr>(attr.getValue()))
      return op->emitOpError("'xfmr.entry' must be a unit attribute of a function");
    return verifyEntry(func);
  }
  if (name == kTokensAttr) {
    auto range = dyn_cast<DenseI64ArrayAttr>(attr.getValue());
    if (!func || !range || range.size() != 2 || range[0] < 1 || range[0] > range[1])
      return op->emitOpError("'xfmr.tokens' must be array<i64: lo, hi> with 1 <= lo <= hi, "
                             "on a function");
    return success();
  }
  if (name == kHeadAttr) {
    auto head = dyn_cast<StringAttr>(attr.getValue());
    if (!func || !head || (head != "logits" && head != "argmax"))
      return op->emitOpError("'xfmr.head' must be \"logits\" or \"argmax\", on a function");
    return success();
  }
  if (name == kMaxQAttr || name == kMaxRowsAttr) {
    auto most = dyn_cast<IntegerAttr>(attr.getValue());
    if (!func || !most || most.getInt() < 1)
      return op->emitOpError() << "'" << name << "' must be a positive integer, on a function";
    return success();
  }
  if (name == kCoverAttr) {
    auto cover = dyn_cast<StringAttr>(attr.getValue());
    if (!func || !cover || (cover != "a" && cover != "b" && cover != "c"))
      return op->emitOpError("'xfmr.cover' must be \"a\", \"b\" or \"c\", on a function");
    return success();
  }
  return success();
}
