//===- ChildProcess.h - runs another program and waits ----------*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <string>
#include <vector>

namespace sinter {

struct ChildResult {
  int exitCode = 0;              ///< 128 + signal when a signal ended it
  std::string output;            ///< standard output
  std::string message;           ///< standard error
  double firstOutputSeconds = 0; ///< from before its start to its first output; 0: it has none
};

/// Runs `program` with `arguments` (without the program's name) and collects what it prints.
Result<ChildResult> runChild(const std::string &program, const std::vector<std::string> &arguments);

/// The path of a program that lies beside the running one.
std::string siblingProgram(const std::string &name);

} // namespace sinter
