//===- TokenRange.cpp - how many tokens a step may have -------------------===//
#include "sinter/Transforms/TokenRange.h"

using namespace mlir;
using namespace sinter::xfmr;

std::optional<TokenRange> TokenRange::of(FunctionOpInterface func) {
  if (auto range = func->getAttrOfType<DenseI64ArrayAttr>(kTokensAttr); range && range.size() == 2)
    return TokenRange{range[0], range[1]};
  for (Type type : func.getArgumentTypes()) {
    auto tokens = dyn_cast<RankedTensorType>(type);
    if (!tokens || tokens.getRank() != 1 || !tokens.getElementType().isInteger(32))
      continue;
    if (tokens.hasStaticShape())
      return TokenRange{tokens.getDimSize(0), tokens.getDimSize(0)};
    return std::nullopt;
  }
  return std::nullopt;
}
