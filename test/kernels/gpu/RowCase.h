//===- RowCase.h - row kernels against plain loops --------------*- C++ -*-===//
#pragma once

#include "LinearCase.h"

namespace sinter::test {

/// Runs a row kernel for several token counts; empty when all is well.
std::string checkRows(const Kernels &kernels, const Entry &entry, int &runs, double &worst);

/// Microseconds of every row kernel with the flag `time`, operands in the L2.
void timeRows(const Kernels &kernels, const std::vector<Entry> &entries);

} // namespace sinter::test
