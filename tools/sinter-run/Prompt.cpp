//===- Prompt.cpp ---------------------------------------------------------===//
#include "Prompt.h"

#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <unistd.h>

namespace sinter {
namespace {

constexpr uint64_t kMaxPromptBytes = uint64_t(64) << 20;

Result<std::string> readStream(std::FILE *stream, const std::string &name) {
  std::string text;
  char buffer[65536];
  while (const size_t got = std::fread(buffer, 1, sizeof buffer, stream)) {
    text.append(buffer, got);
    if (text.size() > kMaxPromptBytes)
      return invalidArgument(name + ": a prompt may have 64 MiB");
  }
  if (std::ferror(stream))
    return unavailable(name + ": cannot read");
  return text;
}

/// A file, or what another program writes: <(program).
Result<std::string> readPromptFile(const std::string &path) {
  std::error_code ignored;
  const std::filesystem::file_type type = std::filesystem::status(path, ignored).type();
  if (type != std::filesystem::file_type::fifo && type != std::filesystem::file_type::character)
    return readTextFile(path, kMaxPromptBytes);
  const std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(std::fopen(path.c_str(), "rb"),
                                                              std::fclose);
  if (!file)
    return unavailable(path + ": cannot open: " + std::strerror(errno));
  return readStream(file.get(), path);
}

Result<std::string> readStandardInput() {
  if (isatty(STDIN_FILENO))
    return invalidArgument("no prompt: give -p TEXT, --prompt-file FILE, --token-ids LIST or "
                           "standard input");
  return readStream(stdin, "standard input");
}

Result<std::string> readText(const RunOptions &options) {
  if (options.prompt)
    return *options.prompt;
  if (!options.promptFile.empty())
    return readPromptFile(options.promptFile);
  return readStandardInput();
}

bool isSeparator(char c) {
  return c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '[' || c == ']';
}

/// A list, or @FILE.
Result<std::vector<int32_t>> readTokenIds(const std::string &text) {
  if (text[0] != '@')
    return parseTokenIds(text, "--token-ids");
  const std::string path = text.substr(1);
  SINTER_ASSIGN_OR_RETURN(const std::string list, readTextFile(path, kMaxPromptBytes));
  return parseTokenIds(list, path);
}

} // namespace

Result<std::vector<int32_t>> parseTokenIds(const std::string &text, const std::string &what) {
  std::vector<int32_t> ids;
  const char *at = text.data(), *end = at + text.size();
  for (;;) {
    int commas = 0;
    for (; at != end && isSeparator(*at); ++at)
      commas += *at == ',';
    if (commas > 1 || (commas == 1 && ids.empty() && at != end))
      return invalidArgument(what + ": a comma with no token id beside it, before byte " +
                             std::to_string(at - text.data()));
    if (at == end)
      return ids;
    int32_t id = 0;
    const auto parsed = std::from_chars(at, end, id);
    if (parsed.ec != std::errc() || (parsed.ptr != end && !isSeparator(*parsed.ptr)))
      return invalidArgument(
          what + ": expected token ids, got " +
          quoteForMessage(std::string(at, std::min<size_t>(20, size_t(end - at)))) + " at byte " +
          std::to_string(at - text.data()));
    ids.push_back(id);
    at = parsed.ptr;
  }
}

Status checkPromptFlags(const RunOptions &options) {
  std::error_code ignored;
  if (!options.tokenIds.empty())
    return readTokenIds(options.tokenIds).status();
  if (!options.promptFile.empty() && !std::filesystem::exists(options.promptFile, ignored))
    return notFound(options.promptFile + ": no such file");
  return !options.prompt && options.promptFile.empty() && isatty(STDIN_FILENO)
             ? readStandardInput().status()
             : Status::ok();
}

Result<Prompt> readPrompt(const RunOptions &options, const std::optional<Tokenizer> &tokenizer) {
  Prompt prompt;
  if (!options.tokenIds.empty()) {
    SINTER_ASSIGN_OR_RETURN(prompt.ids, readTokenIds(options.tokenIds));
  } else {
    SINTER_ASSIGN_OR_RETURN(prompt.text, readText(options));
    if (!tokenizer)
      return unsupported("the artefact has no tokenizer: give --token-ids instead of text");
    auto ids = tokenizer->encode(prompt.text);
    if (!ids)
      return ids.status().withContext("prompt");
    prompt.ids = *std::move(ids);
  }
  if (prompt.ids.empty())
    return invalidArgument("the prompt is empty: at least one token is needed");
  return prompt;
}

} // namespace sinter
