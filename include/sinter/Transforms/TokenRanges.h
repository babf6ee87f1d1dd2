//===- TokenRanges.h - which steps get a function of their own --*- C++ -*-===//
#pragma once

#include "sinter/Transforms/TokenRange.h"

#include "llvm/ADT/SmallVector.h"

#include <string>

namespace sinter::xfmr {

/// 1, 2, 4, 8, 16, by 16 to 128, by 32 to 512, then [513, max]; those inside `bounds`, the last one
/// ending at its upper bound.
llvm::SmallVector<TokenRange> defaultTokenRanges(TokenRange bounds);

/// "1,2-max" -> [1, 1], [2, bounds.hi]. "9-16@8": at most 8 tokens of each sequence;
/// "513-2048#256": up to 256 rows of the head. Ranges with @, with # and with neither may overlap
/// each other. On error the result is empty and `error` says why.
llvm::SmallVector<TokenRange> parseTokenRanges(llvm::StringRef text, TokenRange bounds,
                                               std::string &error);

} // namespace sinter::xfmr
