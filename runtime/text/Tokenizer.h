//===- Tokenizer.h - text to token ids and back -----------------*- C++ -*-===//
//
// Byte-level BPE as described by a Hugging Face tokenizer.json, with the same ids and the same text
// as Hugging Face `tokenizers` (`encode` there is called with add_special_tokens=False). Reads a
// byte buffer, so that an artefact can embed the file.
//
// Text is UTF-8, offsets are in bytes, ids are what the model's embedding is indexed with.
// Immutable after loading: copies share their tables and all calls may run on any thread.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sinter/Support/Status.h"

namespace sinter {

struct EncodeOptions {
  /// Whether special tokens written out in the text, such as `<|im_end|>`, become their id. Without
  /// it they are ordinary text; tokens that are added but not special are always recognised.
  bool allowSpecial = true;
};

class Tokenizer {
public:
  /// Loads tokenizer.json. InvalidInput: malformed or contradictory. Unsupported: a setting that
  /// Sinter does not implement. Both name the key and have no file name: add it with withContext.
  static Result<Tokenizer> fromJson(std::string_view json);

  /// Ids of a text. InvalidArgument: not valid UTF-8 (the byte offset is named), or a byte that the
  /// vocabulary has no token for. ResourceExhausted: the pre-tokenizer's expression hit a limit.
  Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions options = {}) const;

  /// Text of ids. Bytes that are not UTF-8 become U+FFFD; ids that name no token, such as the
  /// padding of an embedding table, contribute nothing.
  std::string decode(std::span<const int32_t> ids, bool skipSpecial = false) const;

  /// The bytes that an id adds to the text: not always whole code points; empty for an unknown id.
  std::string_view tokenBytes(int32_t id) const;
  /// The id of a token as tokenizer.json writes it (byte-level alphabet: `Ġthe`), added or not.
  std::optional<int32_t> idOf(std::string_view token) const;
  /// One more than the highest id. The model's `vocab_size` may be larger, never smaller.
  int32_t vocabSize() const;
  bool isSpecial(int32_t id) const;

private:
  struct Tables;
  explicit Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}
  std::shared_ptr<const Tables> tables_;
};

} // namespace sinter
