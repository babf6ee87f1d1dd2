//===- Tuning.h - shapes and tunings as text, and what to try ---*- C++ -*-===//
//
// A tuned table and a tune pack name a linear by its shape and a choice by its template and the
// parameters that were asked for:
//
//     shape   "4096x1024 m32 bf16 norm xg"      N x K, tokens, types, then what the kernel does
//     kernel  "wgmma_skinny rows=64 splits=2"   parameters that are not named are the template's
//     own
//
//===----------------------------------------------------------------------===//
#pragma once

#include "Templates.h"

#include <string>
#include <vector>

namespace sinter::gpu {

/// Everything of a spec that decides its speed: not eps, nor how many partial sums it is given.
std::string shapeText(const LinearSpec &spec);

std::string kernelText(const LinearTuning &tuning);
/// The reverse. False, with the reason in `why`, on what kernelText() does not write.
bool parseKernelText(llvm::StringRef text, LinearTuning &tuning, std::string &why);

/// For people: "gemv 8 rows, 2x2 warps, unroll 2" of what a template settled on.
std::string describe(const LinearTuning &chosen);

/// What may be faster than the rules' choice, which comes first as the template with no parameters;
/// then others, those that the cost model likes best before the rest, `most` in all. All of them
/// fit the chip.
std::vector<LinearTuning> candidatesFor(const GpuChip &chip, const LinearSpec &spec, size_t most);

} // namespace sinter::gpu
