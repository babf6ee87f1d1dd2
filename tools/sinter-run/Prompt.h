//===- Prompt.h - where the prompt comes from -------------------*- C++ -*-===//
#pragma once

#include "RunOptions.h"

#include "runtime/text/Tokenizer.h"
#include "sinter/Support/Status.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sinter {

struct Prompt {
  std::string text; ///< empty when ids were given
  std::vector<int32_t> ids;
};

/// What can be said without the model: a file that is not there, a list that is none.
Status checkPromptFlags(const RunOptions &options);

/// Reads -p, --prompt-file, --token-ids or standard input, and encodes text.
Result<Prompt> readPrompt(const RunOptions &options, const std::optional<Tokenizer> &tokenizer);

/// Parses "1, 2 3": ids separated by commas or white space, in brackets or not.
Result<std::vector<int32_t>> parseTokenIds(const std::string &text, const std::string &what);

} // namespace sinter
