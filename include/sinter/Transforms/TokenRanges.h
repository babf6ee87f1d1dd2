//===- TokenRanges.h - which steps get a function of their own --*- C++ -*-===//
#pragma once

#include "sinter/Transforms/TokenRange.h"

#include "llvm/ADT/SmallVector.h"

#include <string>

namespace sinter::xfmr {

/// 1, 2, 4, 8, 16, by 16 to 128, by 32 to 512, then [513, max]; cut at `max`, which is the last
/// one's upper bound.
llvm::SmallVector<TokenRange> defaultTokenRanges(int64_t max);

/// "1,2-max" -> [1, 1], [2, max]. On error the result is empty and `error` says why.
llvm::SmallVector<TokenRange> parseTokenRanges(llvm::StringRef text, int64_t max,
                                               std::string &error);

} // namespace sinter::xfmr
