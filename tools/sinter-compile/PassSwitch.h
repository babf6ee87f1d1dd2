//===- PassSwitch.h - leaving out merges and fusions ------------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <string>
#include <vector>

namespace mlir {
class MLIRContext;
}

namespace sinter {

/// The fusion that no pass makes but the lowering to cuda: CudaOptions::linearWrites.
constexpr const char *kLinearWrite = "fuse-linear-write";
bool isLinearWrite(const std::string &name);

/// From now on the named passes do nothing in `context`. Only merges and fusions may be left out:
/// the rest of the pipeline is what makes a model run.
Status switchPasses(mlir::MLIRContext &context, bool fusion,
                    const std::vector<std::string> &disabled);

} // namespace sinter
