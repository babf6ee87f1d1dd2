//===- Splitter.h - cuts text into the words that BPE may merge -*- C++ -*-===//
//
// The `Split` and `ByteLevel` pre-tokenizers of tokenizer.json: a regular expression whose matches,
// and whatever lies between them, become pieces. The patterns of GPT-2, Qwen and Llama 3 have a
// scanner of their own; any other pattern runs on PCRE2 after a translation that gives it the
// meaning it has in Hugging Face's engine (Oniguruma), or is refused with the construct named.
//
// Text is valid UTF-8, offsets are in bytes. A Splitter is immutable and may be shared by threads.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sinter/Support/Status.h"

namespace sinter::text {

/// The pattern that `ByteLevel` applies when `use_regex` is true.
extern const std::string_view kGpt2Pattern;
extern const std::string_view kQwenPattern;
extern const std::string_view kLlama3Pattern;

class Splitter {
public:
  virtual ~Splitter() = default;

  /// Cuts pieces into finer ones. `pieces` are the end offsets of adjoining pieces of `text`, the
  /// last one `text.size()`; each is matched by itself, blind to its neighbours. Appends to `ends`.
  /// Fails only when PCRE2 reaches a resource limit.
  virtual Status split(std::string_view text, const std::vector<size_t> &pieces,
                       std::vector<size_t> &ends) const = 0;

  /// Picks the scanner for a known pattern, else PCRE2. Unsupported: a construct whose meaning
  /// could differ from Oniguruma's. InvalidInput: not a regular expression.
  static Result<std::unique_ptr<Splitter>> create(std::string_view pattern);
  /// Always PCRE2: what `create` does for unknown patterns, and the oracle for the scanners.
  static Result<std::unique_ptr<Splitter>> createRegex(std::string_view pattern);
};

/// The pattern in PCRE2's syntax: `\s`, `\d` and `\p{..}` become explicit ranges of the Unicode
/// version that Hugging Face uses.
Result<std::string> translatePattern(std::string_view pattern);

} // namespace sinter::text
