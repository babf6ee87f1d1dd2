//===- GraphText.h - a graph as text, before it is parsed -------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <string>

namespace sinter {

/// Reads a .mlir file. Brackets nested so deep that MLIR's parser, which recurses, would run out of
/// stack are refused here.
Result<std::string> readGraphFile(const std::string &path);

} // namespace sinter
