//===- TokenRanges.cpp - which steps get a function of their own ----------===//
#include "sinter/Transforms/TokenRanges.h"

#include "llvm/ADT/StringExtras.h"

using namespace sinter::xfmr;
using llvm::StringRef;

llvm::SmallVector<TokenRange> sinter::xfmr::defaultTokenRanges(int64_t max) {
  llvm::SmallVector<TokenRange> ranges;
  int64_t m = 1;
  while (m < max && m <= 512) {
    ranges.push_back({m, m});
    m += m < 16 ? m : m < 128 ? 16 : 32;
  }
  // What is left: one more static size up to 512 tokens, else everything above.
  if (max <= 512)
    ranges.push_back({max, max});
  else
    ranges.push_back({513, max});
  return ranges;
}

static bool parseBound(StringRef text, int64_t max, int64_t &value) {
  if (text == "max") {
    value = max;
    return true;
  }
  return !text.getAsInteger(10, value);
}

llvm::SmallVector<TokenRange> sinter::xfmr::parseTokenRanges(StringRef text, int64_t max,
                                                             std::string &error) {
  llvm::SmallVector<TokenRange> ranges;
  for (StringRef item : llvm::split(text, ',')) {
    auto [first, second] = item.trim().split('-');
    TokenRange range;
    if (!parseBound(first, max, range.lo) ||
        !parseBound(item.contains('-') ? second : first, max, range.hi)) {
      error = "token range '" + item.str() + "' is not N, LO-HI or LO-max";
      return {};
    }
    // "2-max" of a model that takes one token: nothing is left for this range.
    if (second == "max" && range.lo == max + 1)
      continue;
    if (range.lo < 1 || range.lo > range.hi || range.hi > max) {
      error = "token range '" + item.str() + "' is not inside [1, " + std::to_string(max) + "]";
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
