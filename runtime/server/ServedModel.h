//===- ServedModel.h - everything requests need of a model ------*- C++ -*-===//
#pragma once

#include "runtime/engine/Service.h"
#include "runtime/server/Requests.h"
#include "runtime/server/TokenTrie.h"
#include "runtime/text/ChatTemplate.h"
#include "runtime/text/Tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

/// Immutable once it is served, but for the service, which looks after itself.
struct ServedModel {
  Tokenizer tokenizer;
  std::optional<ChatTemplate> chatTemplate;
  RequestDefaults defaults; ///< the model's name among them
  std::vector<int32_t> endIds;
  std::unique_ptr<Service> service;
  int64_t created = 0; ///< Unix time
  std::string device = {}, compilerBuild = {};
  std::shared_ptr<const TokenTrie> trie = std::make_shared<const TokenTrie>(tokenizer);

  /// Tokens of prompt and answer together.
  uint64_t context() const {
    const uint64_t most = service->limits().maxTokens;
    return defaults.maxContext ? std::min(defaults.maxContext, most) : most;
  }

  /// Whether it writes its reasoning between marks.
  bool thinks() const { return tokenizer.idOf("<think>") && tokenizer.idOf("</think>"); }
};

} // namespace sinter
