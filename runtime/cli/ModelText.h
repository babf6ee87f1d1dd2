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

/// The template in `path` or, where that is empty, the artefact's; nothing where it has none.
Result<std::optional<ChatTemplate>> openChatTemplate(const ArtifactFile &file,
                                                     const std::string &path);

} // namespace sinter
