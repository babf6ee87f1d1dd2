//===- Bpe.cpp - byte-pair encoding of one word ---------------------------===//

#include "runtime/text/Bpe.h"

#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <queue>

#include "runtime/text/ByteLevel.h"
#include "sinter/Support/Json.h"

namespace sinter::text {
namespace {

/// Above this many bytes the heap wins over scanning all pairs for each merge.
constexpr size_t kShortWord = 32;
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();

uint64_t mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0x9E3779B97F4A7C15u;
  return x ^ x >> 29;
}

} // namespace

WordCache::Slot &WordCache::slotOf(std::string_view word) {
  uint64_t halves[2] = {0, word.size()};
  std::memcpy(halves, word.data(), std::min<size_t>(word.size(), 8));
  if (word.size() > 8)
    std::memcpy(&halves[1], word.data() + word.size() - 8, 8);
  uint64_t hash = mix(halves[0] + mix(halves[1] + word.size()));
  return slots_[hash >> (64 - kLogSlots)];
}

/// A possible merge in the heap; stale when one of its symbols has changed meanwhile.
struct Bpe::Candidate {
  int32_t rank, left, leftId, rightId, merged;
  bool operator>(const Candidate &other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

Result<Bpe> Bpe::create(const TokenizerSpec &spec) {
  Bpe bpe;
  bpe.ignoreMerges_ = spec.ignoreMerges;
  SINTER_RETURN_IF_ERROR(bpe.addVocabulary(spec));
  SINTER_RETURN_IF_ERROR(bpe.addMerges(spec));
  return bpe;
}

size_t Bpe::wordSlot(std::string_view bytes) const {
  size_t mask = wordTable_.size() - 1;
  size_t slot = mix(std::hash<std::string_view>()(bytes)) & mask;
  while (wordTable_[slot] >= 0 && view(spans_[static_cast<size_t>(wordTable_[slot])]) != bytes)
    slot = (slot + 1) & mask;
  return slot;
}

int32_t Bpe::findBytes(std::string_view bytes) const { return wordTable_[wordSlot(bytes)]; }

int32_t Bpe::idOf(std::string_view token) const {
  if (auto bytes = fromByteLevel(token))
    return findBytes(*bytes);
  auto it = rawTokens_.find(std::string(token));
  return it == rawTokens_.end() ? -1 : it->second;
}

Status Bpe::addVocabulary(const TokenizerSpec &spec) {
  int32_t limit = 0;
  for (const auto &entry : spec.vocab)
    limit = std::max(limit, entry.id + 1);
  spans_.assign(static_cast<size_t>(limit), Span{0, kNoToken});
  wordTable_.assign(std::bit_ceil(2 * spec.vocab.size() + 2), -1);
  bytes_.reserve(spec.characters.size());
  for (const auto &entry : spec.vocab) {
    std::string_view token = spec.text(entry.token);
    auto place = [&] { return "model.vocab[" + describeValue(token) + "]: "; };
    Span &span = spans_[static_cast<size_t>(entry.id)];
    if (span.size != kNoToken)
      return invalidInput(place() + "id " + std::to_string(entry.id) + " is used twice");
    auto bytes = fromByteLevel(token);
    std::string_view stored = bytes ? std::string_view(*bytes) : token;
    size_t slot = bytes ? wordSlot(stored) : 0;
    bool repeated = bytes ? wordTable_[slot] >= 0 : rawTokens_.count(std::string(token)) > 0;
    if (repeated)
      return invalidInput(place() + "appears twice");
    if (bytes)
      wordTable_[slot] = entry.id;
    else
      rawTokens_.emplace(token, entry.id);
    span = {static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(stored.size())};
    bytes_ += stored;
  }
  for (size_t b = 0; b < 256; ++b) {
    char c = static_cast<char>(b);
    byteTokens_[b] = findBytes(std::string_view(&c, 1));
  }
  return Status::ok();
}

Status Bpe::addMerges(const TokenizerSpec &spec) {
  pairTable_.resize(std::bit_ceil(2 * spec.merges.size() + 2));
  for (size_t i = 0; i < spec.merges.size(); ++i) {
    auto missing = [&](std::string_view token) {
      return invalidInput("model.merges[" + std::to_string(i) + "]: " + describeValue(token) +
                          " is not in model.vocab");
    };
    std::string joined;
    int32_t ids[2];
    for (int side = 0; side < 2; ++side) {
      std::string_view token = spec.text(side ? spec.merges[i].right : spec.merges[i].left);
      auto bytes = fromByteLevel(token);
      ids[side] = bytes ? findBytes(*bytes) : -1;
      if (ids[side] < 0)
        return missing(token);
      joined += *bytes;
    }
    int32_t merged = findBytes(joined);
    if (merged < 0)
      return missing(std::string(spec.text(spec.merges[i].left)) +
                     std::string(spec.text(spec.merges[i].right)));
    uint64_t key = pairKey(ids[0], ids[1]);
    // A pair that is listed twice has the rank of its last line, as in Hugging Face's map.
    pairSlot(key) = {key, static_cast<int32_t>(i), merged};
  }
  return Status::ok();
}

Bpe::PairSlot &Bpe::pairSlot(uint64_t key) {
  size_t mask = pairTable_.size() - 1;
  size_t slot = mix(key) & mask;
  while (pairTable_[slot].key && pairTable_[slot].key != key)
    slot = (slot + 1) & mask;
  return pairTable_[slot];
}

const Bpe::PairSlot *Bpe::findPair(int32_t left, int32_t right) const {
  uint64_t key = pairKey(left, right);
  size_t mask = pairTable_.size() - 1;
  size_t slot = mix(key) & mask;
  while (pairTable_[slot].key) {
    if (pairTable_[slot].key == key)
      return &pairTable_[slot];
    slot = (slot + 1) & mask;
  }
  return nullptr;
}

void Bpe::mergeShort(std::vector<int32_t> &ids, size_t begin) const {
  const PairSlot *pairs[kShortWord];
  int32_t *word = ids.data() + begin;
  size_t count = ids.size() - begin;
  for (size_t i = 0; i + 1 < count; ++i)
    pairs[i] = findPair(word[i], word[i + 1]);
  while (true) {
    size_t best = count;
    int32_t bestRank = kNoRank;
    for (size_t i = 0; i + 1 < count; ++i)
      if (pairs[i] && pairs[i]->rank < bestRank) {
        bestRank = pairs[i]->rank;
        best = i;
      }
    if (best == count)
      break;
    word[best] = pairs[best]->merged;
    --count;
    std::copy(word + best + 2, word + count + 1, word + best + 1);
    std::copy(pairs + best + 1, pairs + count, pairs + best);
    if (best > 0)
      pairs[best - 1] = findPair(word[best - 1], word[best]);
    if (best + 1 < count)
      pairs[best] = findPair(word[best], word[best + 1]);
  }
  ids.resize(begin + count);
}

void Bpe::mergeLong(std::vector<int32_t> &ids, size_t begin) const {
  auto count = static_cast<int32_t>(ids.size() - begin);
  std::vector<Symbol> symbols(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i)
    symbols[static_cast<size_t>(i)] = {ids[begin + static_cast<size_t>(i)], i - 1,
                                       i + 1 < count ? i + 1 : -1};
  auto at = [&](int32_t i) -> Symbol & { return symbols[static_cast<size_t>(i)]; };
  std::vector<Candidate> first;
  auto candidate = [&](int32_t left, auto &&add) {
    int32_t right = left < 0 ? -1 : at(left).next;
    if (right < 0)
      return;
    if (const PairSlot *pair = findPair(at(left).id, at(right).id))
      add(Candidate{pair->rank, left, at(left).id, at(right).id, pair->merged});
  };
  for (int32_t i = 0; i < count; ++i)
    candidate(i, [&](Candidate c) { first.push_back(c); });
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap(std::greater<>(),
                                                                              std::move(first));
  auto push = [&](Candidate c) { heap.push(c); };
  constexpr int32_t kGone = -1;
  while (!heap.empty()) {
    Candidate c = heap.top();
    heap.pop();
    Symbol &left = at(c.left);
    if (left.id != c.leftId || left.next < 0 || at(left.next).id != c.rightId)
      continue;
    Symbol &right = at(left.next);
    left.id = c.merged;
    right.id = kGone;
    left.next = right.next;
    if (left.next >= 0)
      at(left.next).previous = c.left;
    candidate(left.previous, push);
    candidate(c.left, push);
  }
  ids.resize(begin);
  for (int32_t i = 0; i >= 0; i = at(i).next)
    ids.push_back(at(i).id);
}

Status Bpe::encodeWord(std::string_view word, WordCache &cache, std::vector<int32_t> &out) const {
  WordCache::Slot *slot = nullptr;
  if (word.size() <= WordCache::kMaxBytes) {
    slot = &cache.slotOf(word);
    if (WordCache::holds(*slot, word)) {
      out.insert(out.end(), slot->tokens.begin(), slot->tokens.begin() + slot->count);
      return Status::ok();
    }
  }
  size_t begin = out.size();
  int32_t whole = ignoreMerges_ ? findBytes(word) : -1;
  if (whole >= 0) {
    out.push_back(whole);
  } else {
    for (char c : word) {
      int32_t id = byteTokens_[static_cast<unsigned char>(c)];
      if (id < 0) {
        constexpr char kHex[] = "0123456789ABCDEF";
        auto byte = static_cast<unsigned char>(c);
        return invalidInput(std::string("the vocabulary has no token for byte 0x") +
                            kHex[byte >> 4] + kHex[byte & 15]);
      }
      out.push_back(id);
    }
    word.size() <= kShortWord ? mergeShort(out, begin) : mergeLong(out, begin);
  }
  if (slot && out.size() - begin <= WordCache::kMaxTokens) {
    std::memcpy(slot->word.data(), word.data(), word.size());
    slot->size = static_cast<uint8_t>(word.size());
    slot->count = static_cast<uint32_t>(out.size() - begin);
    std::copy(out.begin() + static_cast<ptrdiff_t>(begin), out.end(), slot->tokens.begin());
  }
  return Status::ok();
}

} // namespace sinter::text
