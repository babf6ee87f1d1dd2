//===- TokenizerCheck.h - will the runner be able to read it? ---*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <cstdint>
#include <string_view>

namespace sinter {

/// Parses a tokenizer.json with the parser that will read it from the artefact; `vocab` is the
/// model's number of token ids.
Status checkTokenizer(std::string_view json, int64_t vocab);

/// Whether a chat template is one. What this version cannot run yet is no error before a chat.
Status checkChatTemplate(std::string_view jinja);

} // namespace sinter
