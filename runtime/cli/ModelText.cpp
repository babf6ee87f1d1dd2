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

Result<std::optional<ChatTemplate>> readChatTemplate(const std::string &path) {
  constexpr uint64_t kMaxBytes = uint64_t(1) << 20;
  if (path.empty())
    return std::optional<ChatTemplate>();
  SINTER_ASSIGN_OR_RETURN(const std::string source, readTextFile(path, kMaxBytes));
  auto parsed = ChatTemplate::parse(source);
  if (!parsed)
    return parsed.status().withContext(path);
  SINTER_RETURN_IF_ERROR(parsed->checkConversation().withContext(path));
  return std::optional<ChatTemplate>(*std::move(parsed));
}

Result<std::optional<ChatTemplate>> openChatTemplate(const ArtifactFile &file) {
  const std::string source(file.sections().chatTemplate);
  if (source.empty())
    return std::optional<ChatTemplate>();
  SINTER_ASSIGN_OR_RETURN(ChatTemplate parsed, ChatTemplate::parse(source));
  return std::optional<ChatTemplate>(std::move(parsed));
}

} // namespace sinter
