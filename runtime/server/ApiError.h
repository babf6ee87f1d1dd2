//===- ApiError.h - what a client is told when a request fails --*- C++ -*-===//
#pragma once

#include "sinter/Support/Status.h"

#include <string>

namespace sinter {

/// An HTTP status and OpenAI's error object.
struct ApiError {
  int status = 400;
  std::string message;
  std::string param = {}; ///< the field at fault; empty: none
  std::string code = {};  ///< what programs look at; empty: none

  /// `{"error": {"message", "type", "param", "code"}}`
  std::string body() const;
};

/// What becomes of an engine's or a tokenizer's error.
ApiError toApiError(const Status &status, const std::string &param = {});

} // namespace sinter
