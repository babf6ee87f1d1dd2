//===- TokenRanges.cpp - which steps get a function of their own ----------===//
#include "sinter/Transforms/TokenRanges.h"

#include "llvm/ADT/StringExtras.h"

using namespace sinter::xfmr;
using llvm::StringRef;

llvm::SmallVector<TokenRange> sinter::xfmr::defaultTokenRanges(TokenRange bounds) {
  llvm::SmallVector<TokenRange> ranges;
  int64_t m = 1;
  while (m < bounds.hi && m <= 512) {
    if (m >= bounds.lo)
      ranges.push_back({m, m});
    m += m < 16 ? m : m < 128 ? 16 : 32;
  }
  // What is left: one more static size up to 512 tokens, else everything above.
  if (bounds.hi <= 512)
    ranges.push_back({bounds.hi, bounds.hi});
  else
    ranges.push_back({std::max<int64_t>(513, bounds.lo), bounds.hi});
  return ranges;
}

static bool parseBound(StringRef text, int64_t max, int64_t &value) {
  if (text == "max") {
    value = max;
    return true;
  }
  return !text.getAsInteger(10, value);
}

llvm::SmallVector<TokenRange> sinter::xfmr::parseTokenRanges(StringRef text, TokenRange bounds,
                                                             std::string &error) {
  llvm::SmallVector<TokenRange> ranges;
  for (StringRef item : llvm::split(text, ',')) {
    auto [first, second] = item.trim().split('-');
    TokenRange range;
    if (!parseBound(first, bounds.hi, range.lo) ||
        !parseBound(item.contains('-') ? second : first, bounds.hi, range.hi)) {
      error = "token range '" + item.str() + "' is not N, LO-HI or LO-max";
      return {};
    }
    // "2-max" of a model that takes one token: nothing is left for this range.
    if (second == "max" && range.lo == bounds.hi + 1)
      continue;
    if (range.lo < bounds.lo || range.lo > range.hi || range.hi > bounds.hi) {
      error = "token range '" + item.str() + "' is not inside [" + std::to_string(bounds.lo) +
              ", " + std::to_string(bounds.hi) + "]";
      return {};
    }
    if (!ranges.empty() && range.lo <= ranges.back().hi) {
      error = "token range '" + item.str() + "' overlaps the one before it";
      return {};
    }
    ranges.push_back(range);
  }
  return ranges;
}
