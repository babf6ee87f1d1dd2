//===- Bpe.h - byte-pair encoding of one word -------------------*- C++ -*-===//
//
// Starts from one token per byte and merges the pair of lowest rank, the leftmost of equals, until
// no neighbours can merge. Short words scan their pairs; long ones keep them in a heap, so that the
// cost stays n log n for a word of any length.
//
// A Bpe is immutable and may be shared; a WordCache belongs to one thread at a time.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/text/TokenizerJson.h"
#include "sinter/Support/Status.h"

namespace sinter::text {

/// Remembers the tokens of short words: a fixed 512 KiB, one slot per hash, the newest word wins.
class WordCache {
public:
  static constexpr size_t kMaxBytes = 15, kMaxTokens = 3;

  struct Slot {
    std::array<char, kMaxBytes> word; ///< padded with zeros
    uint8_t size = 0;                 ///< 0: the slot is empty
    std::array<int32_t, kMaxTokens> tokens;
    uint32_t count = 0;
  };
  WordCache() : slots_(size_t(1) << kLogSlots) {}

  /// The slot where `word` (1..kMaxBytes bytes) is or would be.
  Slot &slotOf(std::string_view word);
  static bool holds(const Slot &slot, std::string_view word) {
    return slot.size == word.size() && word == std::string_view(slot.word.data(), slot.size);
  }

private:
  static constexpr int kLogSlots = 14;
  std::vector<Slot> slots_;
};

class Bpe {
public:
  /// InvalidInput: a merge or an id contradicts the vocabulary; the entry is named.
  static Result<Bpe> create(const TokenizerSpec &spec);

  /// Appends the ids of one word (raw bytes, not empty). InvalidInput: a byte has no token.
  Status encodeWord(std::string_view word, WordCache &cache, std::vector<int32_t> &out) const;

  /// Bytes of a vocabulary token; empty for an id that has none.
  std::string_view bytesOf(int32_t id) const {
    return hasToken(id) ? view(spans_[static_cast<size_t>(id)]) : std::string_view();
  }
  bool hasToken(int32_t id) const {
    return id >= 0 && id < idLimit() && spans_[static_cast<size_t>(id)].size != kNoToken;
  }
  /// The id of a token as the file writes it (byte-level alphabet), or -1.
  int32_t idOf(std::string_view token) const;
  /// One more than the highest id.
  int32_t idLimit() const { return static_cast<int32_t>(spans_.size()); }

private:
  static constexpr uint32_t kNoToken = ~0u;
  using Span = TokenizerSpec::Span;
  /// A pair of ids that merges: open addressing, key 0 is a free slot.
  struct PairSlot {
    uint64_t key = 0;
    int32_t rank = 0, merged = 0;
  };
  /// A piece of a long word in a doubly linked list; size 0 after it was merged away.
  struct Symbol {
    int32_t id, previous, next;
  };
  struct Candidate;

  std::string_view view(Span span) const {
    return std::string_view(bytes_).substr(span.offset, span.size);
  }
  static uint64_t pairKey(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right)) + 1;
  }
  const PairSlot *findPair(int32_t left, int32_t right) const;
  PairSlot &pairSlot(uint64_t key);
  int32_t findBytes(std::string_view bytes) const;
  size_t wordSlot(std::string_view bytes) const;

  Status addVocabulary(const TokenizerSpec &spec);
  Status addMerges(const TokenizerSpec &spec);
  void mergeShort(std::vector<int32_t> &ids, size_t begin) const;
  void mergeLong(std::vector<int32_t> &ids, size_t begin) const;

  std::string bytes_;                                  ///< all tokens end to end
  std::vector<Span> spans_;                            ///< by id
  std::vector<int32_t> wordTable_;                     ///< bytes -> id, open addressing, -1 is free
  std::vector<PairSlot> pairTable_;                    ///< both tables have a power of two of slots
  std::unordered_map<std::string, int32_t> rawTokens_; ///< those outside the byte-level alphabet
  std::array<int32_t, 256> byteTokens_{};
  bool ignoreMerges_ = false;
};

} // namespace sinter::text
