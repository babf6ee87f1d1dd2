//===- GoldenFiles.h - the tokenizers and goldens that tests read -*- C++ -*-===//
#pragma once

#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/text/Tokenizer.h"

namespace sinter::test {

inline const std::string kHere = SINTER_SOURCE_DIR "/test/runtime/text/";
/// Lies beside the checkout, if at all.
inline const std::string kShared = SINTER_SOURCE_DIR "/../shared/data/";

inline std::optional<std::string> readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline nlohmann::json readJson(const std::string &path) {
  auto text = readFile(path);
  EXPECT_TRUE(text) << path;
  return text ? nlohmann::json::parse(*text) : nlohmann::json();
}

/// small_tokenizer.json after a JSON merge patch.
inline Result<Tokenizer> smallTokenizer(const nlohmann::json &patch = nlohmann::json::object()) {
  nlohmann::json file = readJson(kHere + "small_tokenizer.json");
  file.merge_patch(patch);
  return Tokenizer::fromJson(file.dump());
}

/// Qwen3's tokenizer, loaded once; nothing where the shared data is absent.
inline const std::optional<Tokenizer> &qwenTokenizer() {
  static const std::optional<Tokenizer> tokenizer = []() -> std::optional<Tokenizer> {
    auto json = readFile(kShared + "qwen3-tokenizer/tokenizer.json");
    if (!json)
      return std::nullopt;
    auto loaded = Tokenizer::fromJson(*json);
    EXPECT_TRUE(loaded) << loaded.status().message();
    return loaded ? std::optional(*loaded) : std::nullopt;
  }();
  return tokenizer;
}

} // namespace sinter::test

#define SINTER_SKIP_WITHOUT_QWEN()                                                                 \
  if (!sinter::test::qwenTokenizer())                                                              \
  GTEST_SKIP() << "no ../shared/data/qwen3-tokenizer/tokenizer.json beside the checkout"
