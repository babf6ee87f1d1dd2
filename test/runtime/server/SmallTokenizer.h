//===- SmallTokenizer.h - a vocabulary of bytes and a few words -*- C++ -*-===//
#pragma once

#include "runtime/text/ByteLevel.h"
#include "runtime/text/Tokenizer.h"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sinter::test {

constexpr int32_t kEndToken = 256; ///< special
constexpr int32_t kSmallVocab = 262;

/// Ids 0 to 255 are bytes, 256 is `<|im_end|>`, then come Qwen's marks, which are not special, and
/// `words`, in the byte-level alphabet.
inline Tokenizer smallTokenizer(const std::vector<std::string> &words = {}) {
  using Json = nlohmann::ordered_json;
  nlohmann::json vocab = nlohmann::json::object(); // ordered objects take too long to fill
  Json added = Json::array();
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string name;
    text::appendUtf8(name, text::byteLevelAlphabet()[byte]);
    vocab[name] = byte;
  }
  const char *marks[] = {"<|im_end|>", "<|im_start|>", "<think>",
                         "</think>",   "<tool_call>",  "</tool_call>"};
  for (int i = 0; i < 6; ++i)
    added.push_back({{"id", 256 + i},
                     {"content", marks[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", i < 2}});
  for (const std::string &word : words)
    vocab[word] = int32_t(vocab.size()) + 6;
  const Json file = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer",
                      {{"type", "ByteLevel"},
                       {"add_prefix_space", false},
                       {"trim_offsets", true},
                       {"use_regex", true}}},
                     {"post_processor", nullptr},
                     {"decoder",
                      {{"type", "ByteLevel"},
                       {"add_prefix_space", false},
                       {"trim_offsets", true},
                       {"use_regex", true}}},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"vocab", vocab},
                       {"merges", Json::array()}}}};
  auto tokenizer = Tokenizer::fromJson(file.dump());
  if (!tokenizer) {
    std::fprintf(stderr, "small tokenizer: %s\n", tokenizer.status().message().c_str());
    std::abort();
  }
  return *std::move(tokenizer);
}

} // namespace sinter::test
