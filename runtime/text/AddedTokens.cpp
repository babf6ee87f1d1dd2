//===- AddedTokens.cpp - tokens that are found before BPE runs ------------===//

#include "runtime/text/AddedTokens.h"

#include <algorithm>
#include <functional>

#include "runtime/text/Unicode.h"

namespace sinter::text {

void AddedTokenMatcher::add(std::string content, const AddedToken &token) {
  auto &lengths = lengths_[static_cast<unsigned char>(content[0])];
  auto place = std::lower_bound(lengths.begin(), lengths.end(), content.size(), std::greater<>());
  if (place == lengths.end() || *place != content.size())
    lengths.insert(place, content.size());
  tokens_.emplace(std::move(content), token);
}

const AddedToken *AddedTokenMatcher::matchAt(std::string_view text, size_t offset,
                                             size_t &length) const {
  for (size_t candidate : lengths_[static_cast<unsigned char>(text[offset])]) {
    if (candidate > text.size() - offset)
      continue;
    auto it = tokens_.find(std::string(text.substr(offset, candidate)));
    if (it != tokens_.end()) {
      length = candidate;
      return &it->second;
    }
  }
  return nullptr;
}

std::vector<AddedTokenMatcher::Piece> AddedTokenMatcher::cut(std::string_view text,
                                                             bool allowSpecial) const {
  std::vector<Piece> pieces;
  size_t done = 0; // text[0, done) is cut
  auto isSpace = [&](size_t at) { return classOf(decodeAt(text, at).value).isSpace(); };
  for (size_t i = 0; i < text.size();) {
    size_t length = 0;
    if (lengths_[static_cast<unsigned char>(text[i])].empty()) {
      ++i;
      continue;
    }
    const AddedToken *token = matchAt(text, i, length);
    if (!token) {
      ++i;
      continue;
    }
    size_t begin = i, end = i + length;
    i = end; // the search goes on here even if the match is refused or extended
    if (token->special && !allowSpecial)
      continue;
    if (token->lstrip) {
      while (begin > done && isSpace(previousStart(text, begin)))
        begin = previousStart(text, begin);
      begin = std::max(begin, done);
    }
    if (token->rstrip)
      while (end < text.size() && isSpace(end))
        end += decodeAt(text, end).bytes;
    // The rstrip of the token before may have taken this one along. As in Hugging Face that hides
    // it only if it is lstrip itself; otherwise both are reported.
    if (begin >= end)
      continue;
    if (done < begin)
      pieces.push_back({done, begin, -1});
    pieces.push_back({begin, end, token->id});
    done = end;
  }
  if (done < text.size())
    pieces.push_back({done, text.size(), -1});
  return pieces;
}

} // namespace sinter::text
