//===- ModelSource.cpp - what a model directory says ----------------------===//
#include "ModelSource.h"

#include "TokenizerCheck.h"

#include "models/NamedConfigs.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"

#include <filesystem>
#include <system_error>

using namespace sinter;
using namespace sinter::models;
using nlohmann::json;

namespace {

constexpr uint64_t kMaxTokenizerBytes = 256 << 20;
constexpr uint64_t kMaxTemplateBytes = 4 << 20;

/// The file's text, or nothing where there is no such file.
Result<std::optional<std::string>> readOptional(const std::string &path, uint64_t limit) {
  Result<std::string> text = readTextFile(path, limit);
  if (text)
    return std::optional<std::string>(*std::move(text));
  if (text.status().code() == StatusCode::NotFound)
    return std::optional<std::string>();
  return text.status();
}

Result<std::string> checkedTemplate(std::string text, const std::string &file) {
  SINTER_RETURN_IF_ERROR(checkChatTemplate(text).withContext(file));
  return text;
}

/// "chat_template" of tokenizer_config.json: a string, or a list of named ones.
Result<std::string> parseChatTemplate(std::string_view text) {
  const std::string file = "tokenizer_config.json";
  SINTER_ASSIGN_OR_RETURN(const json root, parseJson(text, file));
  if (!root.is_object())
    return invalidInput(file + ": expected a JSON object, got " + describeValue(root));
  if (!hasValue(root, "chat_template"))
    return std::string();
  const json &value = root.at("chat_template");
  if (value.is_string())
    return checkedTemplate(value.get<std::string>(), file);
  if (value.is_array())
    for (const json &entry : value)
      if (entry.is_object() && entry.value("name", json()) == "default" &&
          entry.value("template", json()).is_string())
        return checkedTemplate(entry.at("template").get<std::string>(), file);
  return unexpectedValue(file, "chat_template", "a string or a list with one named \"default\"",
                         value);
}

Result<std::string> readChatTemplate(const std::string &directory) {
  SINTER_ASSIGN_OR_RETURN(auto jinja,
                          readOptional(directory + "/chat_template.jinja", kMaxTemplateBytes));
  if (jinja)
    return checkedTemplate(*std::move(jinja), "chat_template.jinja");
  SINTER_ASSIGN_OR_RETURN(auto config,
                          readOptional(directory + "/tokenizer_config.json", kMaxTokenizerBytes));
  if (!config)
    return std::string();
  return parseChatTemplate(*config);
}

} // namespace

DType ModelSource::weightDType(std::string_view tensor) const {
  if (!checkpoint)
    return defaultDType();
  const std::string &name = checkpoint->lookup(tensor)->tensor->dtypeName;
  return name == "BF16" ? DType::BF16 : name == "F16" ? DType::F16 : DType::F32;
}

DType ModelSource::defaultDType() const {
  if (config.dtype)
    return *config.dtype;
  return checkpoint ? weightDType("model.embed_tokens.weight") : DType::BF16;
}

Result<ModelSource> sinter::openModelDirectory(const std::string &path) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::canonical(path, failed);
  if (failed)
    return notFound(path + ": " + failed.message());
  ModelSource source;
  source.directory = absolute.string();
  source.name = absolute.filename().string();
  SINTER_ASSIGN_OR_RETURN(source.config, readModelConfig(source.directory));
  SINTER_ASSIGN_OR_RETURN(source.checkpoint, openCheckpoint(source.directory));
  SINTER_ASSIGN_OR_RETURN(source.variants, checkTensors(source.config, *source.checkpoint));
  SINTER_ASSIGN_OR_RETURN(source.generation, readGenerationConfig(source.directory, source.config));
  SINTER_ASSIGN_OR_RETURN(auto tokenizer,
                          readOptional(source.directory + "/tokenizer.json", kMaxTokenizerBytes));
  if (tokenizer && tokenizer->empty())
    return invalidInput("tokenizer.json: the file is empty");
  if (tokenizer)
    SINTER_RETURN_IF_ERROR(checkTokenizer(*tokenizer, source.config.vocab));
  source.tokenizer = tokenizer.value_or("");
  SINTER_ASSIGN_OR_RETURN(source.chatTemplate, readChatTemplate(source.directory));
  return source;
}

Result<ModelSource> sinter::openNamedModel(std::string_view name) {
  const std::optional<std::string_view> text = findNamedConfig(name);
  if (!text)
    return notFound("no named shape " + quoteForMessage(name));
  ModelSource source;
  source.name = name;
  SINTER_ASSIGN_OR_RETURN(source.config, parseModelConfig(*text, source.name));
  source.variants.hasQkNorm = true;
  source.variants.hasQkvBias = source.config.attentionBias;
  source.variants.hasOBias = source.config.attentionBias;
  source.generation.eosIds = source.config.eosIds;
  source.generation.bosId = source.config.bosId;
  source.generation.padId = source.config.padId;
  return source;
}
