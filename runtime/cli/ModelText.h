//===- ModelText.h - a model's tokenizer and chat template ------*- C++ -*-===//
#pragma once

#include "runtime/model/Artifact.h"
#include "runtime/text/ChatTemplate.h"
#include "runtime/text/Tokenizer.h"

#include <optional>
#include <string>

namespace sinter {

/// Nothing where the artefact has none.
Result<std::optional<Tokenizer>> openTokenizer(const ArtifactFile &file);

/// The template in `path`; nothing where that is empty.
Result<std::optional<ChatTemplate>> readChatTemplate(const std::string &path);
/// Nothing where the artefact has none.
Result<std::optional<ChatTemplate>> openChatTemplate(const ArtifactFile &file);

} // namespace sinter
