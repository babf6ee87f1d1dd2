//===- Requests.h - what clients may ask, checked ---------------*- C++ -*-===//
//
// Bodies of the OpenAI-compatible endpoints as structs. Every field is honoured, documented as
// harmless (docs/server.md) or an error that names it: nothing is dropped.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "runtime/engine/Sampler.h"
#include "runtime/server/JsonFields.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace sinter {

/// What requests are checked against and what holds where they say nothing.
struct RequestDefaults {
  std::string model;       ///< the only name there is
  SamplingParams sampling; ///< of generation_config.json
  bool greedy = false;     ///< unless a request asks for sampling
  uint64_t vocab = 0;
  uint32_t maxSamples = 64;
  uint32_t promptLookup = 0; ///< tokens guessed at a time
  uint64_t maxContext = 0;   ///< tokens of prompt and answer; 0: as many as the engine takes
};

/// What chat and plain completions share.
struct GenerationFields {
  SamplingParams sampling;
  std::optional<uint64_t> maxTokens;
  std::string limitField; ///< which one asked for maxTokens; empty: none
  uint32_t samples = 1;
  bool ignoreEos = false;
  std::vector<std::string> stops;
  std::vector<int32_t> stopIds;
  int32_t logprobs = -1; ///< -1: none
  int32_t priority = 0;  ///< lower goes first
  std::string cacheSalt;
  bool stream = false;
  bool includeUsage = false;
};

struct ResponseFormat {
  enum class Kind { Text, JsonObject, JsonSchema } kind = Kind::Text;
  OrderedJson schema; ///< JsonSchema
};

struct ToolChoice {
  enum class Kind { Auto, None, Required, Named } kind = Kind::Auto;
  std::string name; ///< Named
};

struct ChatRequest {
  GenerationFields generation;
  OrderedJson messages;        ///< contents as strings, roles that templates know
  OrderedJson tools = nullptr; ///< an array, or null
  ToolChoice toolChoice;
  bool parallelToolCalls = true;
  std::optional<bool> enableThinking;
  OrderedJson templateVariables = OrderedJson::object();
  ResponseFormat format;

  /// Whether an answer may call tools.
  bool usesTools() const { return !tools.is_null() && toolChoice.kind != ToolChoice::Kind::None; }
};

struct CompletionRequest {
  GenerationFields generation;
  std::variant<std::string, std::vector<int32_t>> prompt;
};

struct TokenizeRequest {
  std::string text;
  bool allowSpecial = true;
};

struct DetokenizeRequest {
  std::vector<int32_t> tokens;
  bool skipSpecial = false;
};

ChatRequest parseChatRequest(const OrderedJson &body, const RequestDefaults &defaults,
                             FirstError &error);
CompletionRequest parseCompletionRequest(const OrderedJson &body, const RequestDefaults &defaults,
                                         FirstError &error);
TokenizeRequest parseTokenizeRequest(const OrderedJson &body, const RequestDefaults &defaults,
                                     FirstError &error);
DetokenizeRequest parseDetokenizeRequest(const OrderedJson &body, const RequestDefaults &defaults,
                                         FirstError &error);

} // namespace sinter
