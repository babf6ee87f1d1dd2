//===- RowCase.h - row kernels against plain loops --------------*- C++ -*-===//
#pragma once

#include "LinearCase.h"

namespace sinter::test {

/// Runs a row kernel for several token counts; empty when all is well.
std::string checkRows(const Kernels &kernels, const Entry &entry, int &runs, double &worst);

} // namespace sinter::test
