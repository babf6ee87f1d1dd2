//===- CudaInvariance.cpp - one order of sums in every entry --------------===//
//
// A batch-invariant artefact computes a token by the same sums in the same order whichever entry it
// goes through. The templates choose so; this compares what they chose, because the entries' graphs
// could differ as well: other covers, other fusions.
//
//===----------------------------------------------------------------------===//
#include "CudaLowering.h"

#include <map>

using namespace mlir;
using namespace sinter;

namespace {
/// What decides bits, by the names of the launches.
using Orders = std::map<std::string, std::string>;
} // namespace

LogicalResult CudaLowering::checkInvariance() {
  if (!options.batchInvariant)
    return success();
  Orders all; // heads share everything but the last op
  std::map<std::string, Orders> byHead;
  const auto differs = [&](const StepEntry &e, StringRef op, StringRef here, StringRef there) {
    return planned.emitError() << "--batch-invariant: entry " << e.name << " computes " << op
                               << " as '" << here << "', another one as '" << there << "'";
  };
  for (const StepEntry &e : program.entries) {
    Orders own;
    for (const StepOp &op : e.ops)
      if (const std::string &order = orders[op.kernel]; !order.empty())
        own[op.name] = order;
    for (const auto &[name, order] : own)
      if (auto [known, isNew] = all.try_emplace(name, order); !isNew && known->second != order)
        return differs(e, name, order, known->second);
    const Orders &first = byHead.try_emplace(e.head, own).first->second;
    for (const auto &[name, order] : first)
      if (!own.count(name))
        return differs(e, name, "nothing", order);
    for (const auto &[name, order] : own)
      if (!first.count(name))
        return differs(e, name, order, "nothing");
  }
  return success();
}
