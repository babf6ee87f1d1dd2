//===- Run.h - one run of sinter-run ----------------------------*- C++ -*-===//
#pragma once

#include "RunOptions.h"

#include "sinter/Support/Status.h"

namespace sinter {

/// Does what the command line asks for. The value is the exit status.
Result<int> runModel(const RunOptions &options);

} // namespace sinter
