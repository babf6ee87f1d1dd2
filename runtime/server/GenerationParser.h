//===- GenerationParser.h - fields that all completions share ---*- C++ -*-===//
#pragma once

#include "runtime/server/Requests.h"

namespace sinter {

/// Everything but the prompt, the token limit and the log-probabilities, which the endpoints spell
/// differently. `model`, `stream` and the harmless fields included.
GenerationFields parseGenerationFields(JsonFields &fields, const RequestDefaults &defaults);

/// A token limit of any of the names; nothing when it is not given.
std::optional<uint64_t> parseTokenLimit(JsonFields &fields, const char *name);

/// A list of token ids below `vocab`; errors name `name`.
std::vector<int32_t> parseTokenIds(JsonFields &fields, const char *name, uint64_t vocab);

/// `model` names the served one or is absent.
void checkModel(JsonFields &fields, const RequestDefaults &defaults);

/// The most alternatives per token that a request may ask for.
constexpr int kMaxLogprobs = 20;

} // namespace sinter
