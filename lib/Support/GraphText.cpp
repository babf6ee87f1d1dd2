//===- GraphText.cpp - a graph as text, before it is parsed ---------------===//
#include "sinter/Support/GraphText.h"

#include "sinter/Support/MappedFile.h"

#include <algorithm>
#include <string_view>

using namespace sinter;

static constexpr uint64_t kMaxGraphBytes = uint64_t(256) << 20;
static constexpr int kMaxNesting = 256;

/// The position of the first bracket that lies too deep; npos where there is none. Strings and
/// comments are skipped, the > of an arrow closes nothing.
static size_t findDeepBracket(std::string_view text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i)
        i += text[i] == '\\';
    } else if (c == '/' && i + 1 < text.size() && text[i + 1] == '/') {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '(' || c == '[' || c == '{' || c == '<') {
      if (++depth > kMaxNesting)
        return i;
    } else if (c == ')' || c == ']' || c == '}' || (c == '>' && i > 0 && text[i - 1] != '-')) {
      depth -= depth > 0;
    }
  }
  return std::string_view::npos;
}

Result<std::string> sinter::readGraphFile(const std::string &path) {
  SINTER_ASSIGN_OR_RETURN(std::string text, readTextFile(path, kMaxGraphBytes));
  const size_t deep = findDeepBracket(text);
  if (deep == std::string_view::npos)
    return text;
  const auto line = 1 + std::count(text.begin(), text.begin() + std::ptrdiff_t(deep), '\n');
  return invalidInput(path + ":" + std::to_string(line) + ": brackets are nested more than " +
                      std::to_string(kMaxNesting) + " deep");
}
