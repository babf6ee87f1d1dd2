//===- TokenTrie.cpp ------------------------------------------------------===//
#include "runtime/server/TokenTrie.h"

#include <algorithm>
#include <string_view>

namespace sinter {

TokenTrie::TokenTrie(const Tokenizer &tokenizer) {
  std::vector<std::pair<std::string_view, int32_t>> sorted;
  for (int32_t id = 0; id < tokenizer.vocabSize(); ++id) {
    const std::string_view bytes = tokenizer.tokenBytes(id);
    if (!bytes.empty() && bytes.size() <= UINT16_MAX && !tokenizer.isSpecial(id))
      sorted.emplace_back(bytes, id);
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<uint32_t> path; // nodes from the root to the last token's
  std::string_view last;
  const auto close = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back())
      nodes_[path.back()].skip = uint32_t(nodes_.size());
  };
  for (const auto &[bytes, id] : sorted) {
    const auto differs = std::mismatch(bytes.begin(), bytes.end(), last.begin(), last.end());
    close(size_t(differs.first - bytes.begin()));
    while (path.size() < bytes.size()) {
      const size_t depth = path.size();
      path.push_back(uint32_t(nodes_.size()));
      nodes_.push_back({0, uint32_t(tokens_.size()), uint16_t(depth), uint8_t(bytes[depth])});
    }
    tokens_.push_back(id);
    deepest_ = std::max(deepest_, bytes.size());
    last = bytes;
  }
  close(0);
  nodes_.push_back({0, uint32_t(tokens_.size()), 0, 0});
}

} // namespace sinter
