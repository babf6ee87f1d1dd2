//===- Chat.h - sinter-run --chat -------------------------------*- C++ -*-===//
#pragma once

#include "RunOptions.h"

#include "sinter/Support/Status.h"

namespace sinter {

/// A conversation in the terminal, or with the lines of a file. Ctrl-C ends an answer, not the
/// program. The value is the exit status.
Result<int> runChat(const RunOptions &options);

} // namespace sinter
