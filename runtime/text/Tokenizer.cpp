//===- Tokenizer.cpp - text to token ids and back -------------------------===//

#include "runtime/text/Tokenizer.h"

#include <mutex>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "runtime/text/AddedTokens.h"
#include "runtime/text/Bpe.h"
#include "runtime/text/ByteLevel.h"
#include "runtime/text/Splitter.h"
#include "runtime/text/TokenizerJson.h"
#include "runtime/text/Unicode.h"

namespace sinter {

using namespace text;

namespace {

/// Caches outlive one call but are used by one thread at a time: there are as many as there were
/// calls at once.
class CachePool {
public:
  std::unique_ptr<WordCache> take() {
    std::lock_guard lock(mutex_);
    if (free_.empty())
      return std::make_unique<WordCache>();
    auto cache = std::move(free_.back());
    free_.pop_back();
    return cache;
  }
  void give(std::unique_ptr<WordCache> cache) {
    std::lock_guard lock(mutex_);
    free_.push_back(std::move(cache));
  }

private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> free_;
};

} // namespace

struct Tokenizer::Tables {
  Bpe bpe;
  bool normalizeNfc = false;
  std::vector<std::unique_ptr<Splitter>> splitters;
  AddedTokenMatcher rawMatcher;        ///< looks at the text as given
  AddedTokenMatcher normalizedMatcher; ///< looks at the normalised text
  std::unordered_map<int32_t, std::string> addedBytes;
  std::unordered_map<std::string, int32_t> addedIds;
  std::unordered_set<int32_t> special;
  int32_t idLimit = 0;
  mutable CachePool caches;

  Status addToken(const AddedToken &token, size_t index);
  Status encodeSegment(std::string_view segment, bool allowSpecial, WordCache &cache,
                       std::vector<int32_t> &out) const;
  Status encodeWords(std::string_view segment, WordCache &cache, std::vector<int32_t> &out) const;
};

Status Tokenizer::Tables::addToken(const AddedToken &token, size_t index) {
  std::string path = "added_tokens[" + std::to_string(index) + "]";
  int32_t known = bpe.idOf(token.content);
  if (known >= 0 ? known != token.id : bpe.hasToken(token.id))
    return invalidInput(path + ".id: " + std::to_string(token.id) + " contradicts model.vocab");
  if (!addedIds.emplace(token.content, token.id).second)
    return invalidInput(path + ".content: appears twice");
  // Hugging Face knows a normalised token by its normalised content, also when it decodes, and the
  // decoder takes any character of the byte-level alphabet for a byte.
  std::string content = token.content;
  if (token.normalized && normalizeNfc)
    content = nfc(content).value_or(content);
  if (!addedBytes.emplace(token.id, fromByteLevel(content).value_or(content)).second)
    return invalidInput(path + ".id: " + std::to_string(token.id) + " is used twice");
  if (token.special)
    special.insert(token.id);
  (token.normalized ? normalizedMatcher : rawMatcher).add(std::move(content), token);
  idLimit = std::max(idLimit, token.id + 1);
  return Status::ok();
}

Result<Tokenizer> Tokenizer::fromJson(std::string_view json) {
  SINTER_ASSIGN_OR_RETURN(TokenizerSpec spec, parseTokenizerJson(json));
  SINTER_ASSIGN_OR_RETURN(Bpe bpe, Bpe::create(spec));
  auto tables = std::make_shared<Tables>();
  tables->bpe = std::move(bpe);
  tables->normalizeNfc = spec.normalizeNfc;
  tables->idLimit = tables->bpe.idLimit();
  for (const std::string &pattern : spec.splitPatterns) {
    auto splitter = Splitter::create(pattern);
    if (!splitter)
      return splitter.status().withContext("pre_tokenizer");
    tables->splitters.push_back(*std::move(splitter));
  }
  for (size_t i = 0; i < spec.addedTokens.size(); ++i)
    SINTER_RETURN_IF_ERROR(tables->addToken(spec.addedTokens[i], i));
  return Tokenizer(std::move(tables));
}

/// Pre-tokenizes normalised text without added tokens and encodes its words.
Status Tokenizer::Tables::encodeWords(std::string_view segment, WordCache &cache,
                                      std::vector<int32_t> &out) const {
  std::vector<size_t> ends{segment.size()}, finer;
  for (const auto &splitter : splitters) {
    finer.clear();
    SINTER_RETURN_IF_ERROR(splitter->split(segment, ends, finer));
    ends.swap(finer);
  }
  size_t begin = 0;
  for (size_t end : ends) {
    SINTER_RETURN_IF_ERROR(bpe.encodeWord(segment.substr(begin, end - begin), cache, out));
    begin = end;
  }
  return Status::ok();
}

/// Text between two tokens of the first matcher.
Status Tokenizer::Tables::encodeSegment(std::string_view segment, bool allowSpecial,
                                        WordCache &cache, std::vector<int32_t> &out) const {
  std::optional<std::string> composed;
  if (normalizeNfc)
    composed = nfc(segment);
  if (composed)
    segment = *composed;
  if (normalizedMatcher.empty())
    return encodeWords(segment, cache, out);
  for (const auto &piece : normalizedMatcher.cut(segment, allowSpecial)) {
    if (piece.id >= 0)
      out.push_back(piece.id);
    else
      SINTER_RETURN_IF_ERROR(
          encodeWords(segment.substr(piece.begin, piece.end - piece.begin), cache, out));
  }
  return Status::ok();
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (auto offset = findInvalidUtf8(text))
    return invalidArgument("text is not valid UTF-8 at byte " + std::to_string(*offset));
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 4);
  auto cache = tables_->caches.take();
  Status status;
  for (const auto &piece : tables_->rawMatcher.cut(text, options.allowSpecial)) {
    if (piece.id >= 0)
      ids.push_back(piece.id);
    else
      status = tables_->encodeSegment(text.substr(piece.begin, piece.end - piece.begin),
                                      options.allowSpecial, *cache, ids);
    if (!status)
      break;
  }
  tables_->caches.give(std::move(cache));
  if (!status)
    return status;
  return ids;
}

std::string_view Tokenizer::tokenBytes(int32_t id) const {
  auto added = tables_->addedBytes.find(id);
  return added == tables_->addedBytes.end() ? tables_->bpe.bytesOf(id) : added->second;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skipSpecial) const {
  std::string bytes;
  for (int32_t id : ids)
    if (!skipSpecial || !isSpecial(id))
      bytes += tokenBytes(id);
  if (!findInvalidUtf8(bytes))
    return bytes;
  std::string text;
  appendLossy(text, bytes, /*final=*/true);
  return text;
}

std::optional<int32_t> Tokenizer::idOf(std::string_view token) const {
  auto added = tables_->addedIds.find(std::string(token));
  int32_t id = added == tables_->addedIds.end() ? tables_->bpe.idOf(token) : added->second;
  return id < 0 ? std::nullopt : std::optional(id);
}

int32_t Tokenizer::vocabSize() const { return tables_->idLimit; }

bool Tokenizer::isSpecial(int32_t id) const { return tables_->special.count(id) > 0; }

} // namespace sinter
