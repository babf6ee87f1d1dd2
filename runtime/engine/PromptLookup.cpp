//===- PromptLookup.cpp ---------------------------------------------------===//
#include "runtime/engine/PromptLookup.h"

#include <algorithm>

namespace sinter {

std::span<const int32_t> lookupPrompt(std::span<const int32_t> tokens, size_t count) {
  const size_t length = tokens.size();
  for (const size_t gram : {3, 2}) {
    const std::span<const int32_t> last = tokens.last(std::min(gram, length));
    for (size_t end = length; end-- > gram;) // tokens [end - gram, end) equal to the last ones?
      if (std::equal(last.rbegin(), last.rend(), tokens.rbegin() + ptrdiff_t(length - end)))
        return tokens.subspan(end, std::min(count, length - end));
  }
  return {};
}

} // namespace sinter
