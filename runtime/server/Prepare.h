//===- Prepare.h - checked requests to the engine's -------------*- C++ -*-===//
#pragma once

#include "runtime/engine/Request.h"
#include "runtime/server/ServedModel.h"
#include "runtime/server/TextStream.h"

namespace sinter {

struct PreparedRequest {
  Request request;
  TextStreamOptions text;
};

/// Renders and encodes the prompt, compiles the grammar and checks the lengths.
PreparedRequest prepareChat(const ChatRequest &chat, const ServedModel &model, FirstError &error);
PreparedRequest prepareCompletion(const CompletionRequest &completion, const ServedModel &model,
                                  FirstError &error);

} // namespace sinter
