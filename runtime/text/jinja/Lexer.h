//===- Lexer.h - template text to tokens ------------------------*- C++ -*-===//
//
// Jinja's lexer as transformers sets it up: trim_blocks (the newline after a block tag goes) and
// lstrip_blocks (so does the white space before one that starts its line), `-` and `+` at tags
// overriding both, one newline at the end of the file dropped, comments and raw blocks.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sinter::jinja {

enum class TokenKind {
  Data,
  VariableBegin,
  VariableEnd,
  BlockBegin,
  BlockEnd,
  Name,
  Integer,
  Float,
  String,
  Operator,
  End
};

struct Token {
  TokenKind kind;
  std::string text; ///< of a string: its value; of a number: without underscores
  int line;
};

/// Always ends in an End token. Throws Error.
std::vector<Token> tokenize(std::string_view source);

} // namespace sinter::jinja
