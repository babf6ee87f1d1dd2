//===- AnswerGrammar.h - what a chat request makes of answers ---*- C++ -*-===//
#pragma once

#include "runtime/server/Grammar.h"
#include "runtime/server/Requests.h"

#include <memory>

namespace sinter {

/// Whether reasoning may come first: not at all, in marks of its own, or it has begun already.
enum class Reasoning { None, Allowed, Begun };

/// The grammar of `response_format` or of tool calls that have to be made; null where answers are
/// free.
std::shared_ptr<const Grammar> answerGrammar(const ChatRequest &chat, Reasoning reasoning,
                                             FirstError &error);

} // namespace sinter
