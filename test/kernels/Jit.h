//===- Jit.h - planned xfmr text to callable kernels ------------*- C++ -*-===//
#pragma once

#include "sinter/Conversion/StepProgram.h"

#include <memory>
#include <string>

namespace sinter::test {

/// A planned module compiled for both instruction sets. Code of a set that the machine lacks must
/// not be called.
class Jit {
public:
  /// Null with a message on stderr if the text does not convert.
  static std::unique_ptr<Jit> compile(const std::string &text);
  virtual ~Jit() = default;
  virtual SinterKernel kernel(unsigned index, CpuIsa isa) const = 0;
  StepProgram program;
};

/// The diagnostics of a conversion that must fail; empty if it succeeds.
std::string conversionError(const std::string &text);

bool hasIsa(CpuIsa isa);

} // namespace sinter::test
