//===- WriteCase.h - linears that write to the cache ------------*- C++ -*-===//
#pragma once

#include "LinearCase.h"

namespace sinter::test {

/// Runs a linear with the flag `write` for several token counts, against the reference on what its
/// twin (`twin=NAME`, the same linear without) leaves; empty when all is well.
std::string checkWrite(const Kernels &kernels, const std::vector<Entry> &entries,
                       const Entry &entry, int &runs);

} // namespace sinter::test
