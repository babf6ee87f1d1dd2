//===- Interpreter.h - renders a parsed template ----------------*- C++ -*-===//
#pragma once

#include <ctime>

#include "runtime/text/jinja/Ast.h"

namespace sinter::jinja {

/// Renders with `variables` as the context, whose values `budget` has been charged for. Throws
/// Error, with the line of the template that failed.
std::string renderTemplate(const Macro &program, const Entries &variables, const std::tm &now,
                           size_t maxOutput, Budget &budget);

} // namespace sinter::jinja
