//===- ModelText.cpp ------------------------------------------------------===//
#include "runtime/cli/ModelText.h"

#include "sinter/Support/MappedFile.h"

namespace sinter {

Result<std::optional<Tokenizer>> openTokenizer(const ArtifactFile &file) {
  if (file.sections().tokenizer.empty())
    return std::optional<Tokenizer>();
  auto tokenizer = Tokenizer::fromJson(file.sections().tokenizer);
  if (!tokenizer)
    return tokenizer.status().withContext("tokenizer.json");
  return std::optional<Tokenizer>(*std::move(tokenizer));
}

Result<std::optional<ChatTemplate>> openChatTemplate(const ArtifactFile &file,
                                                     const std::string &path) {
  constexpr uint64_t kMaxBytes = uint64_t(1) << 20;
  std::string source(file.sections().chatTemplate);
  if (!path.empty()) {
    SINTER_ASSIGN_OR_RETURN(source, readTextFile(path, kMaxBytes));
  } else if (source.empty()) {
    return std::optional<ChatTemplate>();
  }
  auto parsed = ChatTemplate::parse(source);
  if (!parsed)
    return path.empty() ? parsed.status() : parsed.status().withContext(path);
  return std::optional<ChatTemplate>(*std::move(parsed));
}

} // namespace sinter
