//===- ToolMain.h - what every command-line tool does alike -----*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace sinter {

/// Parses the command line into `app` and calls `body`, whose value is the exit status. Bad flags,
/// errors, anything thrown and output that did not arrive end as `NAME: error: ...` and status 1;
/// --help and --version print. An option given without a value (--logits "") is an error.
int toolMain(CLI::App &app, int argc, char **argv, const std::function<Result<int>()> &body);

/// Adds --version to a tool.
void addVersionFlag(CLI::App &app);

} // namespace sinter
