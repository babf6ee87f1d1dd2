//===- OpNames.cpp - the location name every op carries -------------------===//
#include "sinter/Transforms/OpNames.h"

#include "mlir/IR/Location.h"

using namespace mlir;
using namespace sinter::xfmr;

StringRef sinter::xfmr::opName(Operation *op) {
  auto loc = dyn_cast<NameLoc>(op->getLoc());
  return loc ? loc.getName().getValue() : StringRef();
}

int64_t sinter::xfmr::layerOf(Operation *op) {
  StringRef name = opName(op);
  int64_t layer;
  if (!name.consume_front("layers.") || name.split('.').first.getAsInteger(10, layer))
    return -1;
  return layer;
}

std::string sinter::xfmr::siblingName(StringRef name, StringRef last) {
  auto [parent, own] = name.rsplit('.');
  return own.empty() ? last.str() : (parent + "." + last).str();
}

/// The parts a location stands for: a fused op's child list, else the location itself.
static void appendParts(Location loc, SmallVectorImpl<Location> &parts) {
  if (auto name = dyn_cast<NameLoc>(loc))
    if (auto fused = dyn_cast<FusedLoc>(name.getChildLoc())) {
      llvm::append_range(parts, fused.getLocations());
      return;
    }
  parts.push_back(loc);
}

Location sinter::xfmr::mergedLocation(StringRef name, ArrayRef<Operation *> parts) {
  MLIRContext *ctx = parts.front()->getContext();
  SmallVector<Location> locs;
  for (Operation *op : parts)
    appendParts(op->getLoc(), locs);
  Location all = FusedLoc::get(ctx, locs);
  return name.empty() ? all : Location(NameLoc::get(StringAttr::get(ctx, name), all));
}

Location sinter::xfmr::fusedLocation(Operation *main, ArrayRef<Operation *> taken) {
  SmallVector<Operation *> parts = {main};
  llvm::append_range(parts, taken);
  return mergedLocation(opName(main), parts);
}
