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

/// The number behind `mark`, which `item` loses; 0: there is none.
static bool takeNumber(StringRef &item, char mark, int64_t &number) {
  auto [before, text] = item.split(mark);
  const bool marked = item.contains(mark);
  item = before;
  return !marked || (!text.getAsInteger(10, number) && number > 0);
}

/// "LO", "LO-HI", "LO-max", each with "@Q" or "#ROWS".
static bool parseRange(StringRef item, int64_t max, TokenRange &range) {
  StringRef span = item;
  if (!takeNumber(span, '#', range.maxRows) || !takeNumber(span, '@', range.maxQ) ||
      (range.maxRows && range.maxQ))
    return false;
  auto [first, second] = span.split('-');
  return parseBound(first, max, range.lo) &&
         parseBound(span.contains('-') ? second : first, max, range.hi);
}

llvm::SmallVector<TokenRange> sinter::xfmr::parseTokenRanges(StringRef text, TokenRange bounds,
                                                             std::string &error) {
  llvm::SmallVector<TokenRange> ranges;
  int64_t covered[3] = {}; // by ranges for any sequences, for short ones, for many rows
  for (StringRef item : llvm::split(text, ',')) {
    item = item.trim();
    TokenRange range;
    if (!parseRange(item, bounds.hi, range)) {
      error = "token range '" + item.str() + "' is not N, LO-HI or LO-max";
      return {};
    }
    // "2-max" of a model that takes one token: nothing is left for this range.
    if (item.contains("-max") && range.lo == bounds.hi + 1)
      continue;
    if (range.lo < bounds.lo || range.lo > range.hi || range.hi > bounds.hi) {
      error = "token range '" + item.str() + "' is not inside [" + std::to_string(bounds.lo) +
              ", " + std::to_string(bounds.hi) + "]";
      return {};
    }
    int64_t &before = covered[range.maxQ ? 1 : range.maxRows ? 2 : 0];
    if (range.lo <= before) {
      error = "token range '" + item.str() + "' overlaps the one before it";
      return {};
    }
    before = range.hi;
    ranges.push_back(range);
  }
  return ranges;
}
