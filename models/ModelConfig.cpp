//===- ModelConfig.cpp - what config.json says about a model --------------===//
#include "models/ModelConfig.h"

#include "models/RopeConfig.h"
#include "models/TokenIds.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"

#include <algorithm>

using namespace sinter;
using namespace sinter::models;
using nlohmann::json;

namespace {

constexpr uint64_t kMaxConfigBytes = 16 << 20;

/// A size the graph is built from. The limits keep every product of two sizes far inside i64; they
/// are several times those of the largest published models.
struct SizeKey {
  const char *key;
  int64_t ModelConfig::*field;
  int64_t max;
  std::optional<int64_t> fallback;
};

constexpr SizeKey kSizes[] = {
    {"hidden_size", &ModelConfig::hidden, 1 << 20, std::nullopt},
    {"intermediate_size", &ModelConfig::intermediate, 1 << 22, std::nullopt},
    {"num_hidden_layers", &ModelConfig::layers, 1 << 12, std::nullopt},
    {"num_attention_heads", &ModelConfig::heads, 1 << 14, std::nullopt},
    {"vocab_size", &ModelConfig::vocab, 1 << 24, std::nullopt},
    {"max_position_embeddings", &ModelConfig::maxPositionEmbeddings, 1 << 27, 32768},
};

/// Keys that would change the graph in a way Sinter does not build: refused unless they have one of
/// the listed inert values (or are absent or null).
struct InertKey {
  const char *key;
  const char *inert;
  const char *why;
};

constexpr InertKey kInert[] = {
    {"quantization_config", "{}", "quantised checkpoints are not supported yet"},
    {"dual_chunk_attention_config", "{}", "dual chunk attention is not supported"},
    {"mlp_bias", "false", "biases in the MLP are not supported"},
};

Status parseIdentity(const json &root, const std::string &fileName, ModelConfig &config) {
  SINTER_ASSIGN_OR_RETURN(config.modelType, getString(root, "model_type", fileName));
  if (config.modelType != "qwen3")
    return unsupported(fileName + ": \"model_type\": " + quoteForMessage(config.modelType) +
                       " is not supported (qwen3 is)");
  config.architecture = "Qwen3ForCausalLM";
  if (!hasValue(root, "architectures"))
    return Status::ok();
  const json &list = root.at("architectures");
  if (!list.is_array() || list.size() != 1 || !list[0].is_string())
    return unexpectedValue(fileName, "architectures", "a list of one name", list);
  const auto name = list[0].get<std::string>();
  if (name != config.architecture)
    return unsupported(fileName + ": \"architectures\": " + quoteForMessage(name) +
                       " is not supported (Qwen3ForCausalLM is)");
  return Status::ok();
}

Status parseSizes(const json &root, const std::string &fileName, ModelConfig &config) {
  for (const SizeKey &size : kSizes) {
    SINTER_ASSIGN_OR_RETURN(config.*size.field,
                            getInt(root, size.key, fileName, size.fallback, {1, size.max}));
  }
  // Qwen3Config: absent means 32, an explicit null means one per attention head.
  const int64_t kvDefault = root.contains("num_key_value_heads") ? config.heads : 32;
  SINTER_ASSIGN_OR_RETURN(config.kvHeads,
                          getInt(root, "num_key_value_heads", fileName, kvDefault, {1, 1 << 14}));
  if (config.heads % config.kvHeads != 0)
    return invalidInput(fileName + ": \"num_attention_heads\": " + std::to_string(config.heads) +
                        " is not a multiple of \"num_key_value_heads\", which is " +
                        std::to_string(config.kvHeads) +
                        (hasValue(root, "num_key_value_heads") ? "" : " by default"));
  int64_t headDimDefault = 128;
  if (root.contains("head_dim") && root.at("head_dim").is_null()) {
    headDimDefault = config.hidden / config.heads;
    if (config.hidden % config.heads != 0)
      return invalidInput(fileName + ": \"hidden_size\": " + std::to_string(config.hidden) +
                          " is not a multiple of \"num_attention_heads\", which is " +
                          std::to_string(config.heads) + ", and \"head_dim\" is null");
  }
  SINTER_ASSIGN_OR_RETURN(config.headDim,
                          getInt(root, "head_dim", fileName, headDimDefault, {1, 1 << 10}));
  if (config.headDim % 2 != 0)
    return invalidInput(fileName + ": \"head_dim\": rotary embedding needs an even number, got " +
                        std::to_string(config.headDim));
  constexpr int64_t kMostAngles = int64_t(1) << 31; // of the rotation table, 8 GiB
  if (config.maxPositionEmbeddings * config.headDim > kMostAngles)
    return invalidInput(fileName + ": \"max_position_embeddings\": " +
                        std::to_string(config.maxPositionEmbeddings) + " is too large, at most " +
                        std::to_string(kMostAngles / config.headDim) + " with head_dim " +
                        std::to_string(config.headDim));
  return Status::ok();
}

Status parseScalars(const json &root, const std::string &fileName, ModelConfig &config) {
  SINTER_ASSIGN_OR_RETURN(config.rmsNormEps, getDouble(root, "rms_norm_eps", fileName, 1e-6));
  if (!(config.rmsNormEps >= 1e-30 && config.rmsNormEps <= 1))
    return unexpectedValue(fileName, "rms_norm_eps", "a number from 1e-30 to 1",
                           root.at("rms_norm_eps"));
  SINTER_ASSIGN_OR_RETURN(config.tieWordEmbeddings,
                          getBool(root, "tie_word_embeddings", fileName, false));
  SINTER_ASSIGN_OR_RETURN(config.attentionBias, getBool(root, "attention_bias", fileName, false));
  SINTER_ASSIGN_OR_RETURN(config.hiddenAct, getString(root, "hidden_act", fileName, "silu"));
  if (config.hiddenAct != "silu")
    return unsupported(fileName + ": \"hidden_act\": " + quoteForMessage(config.hiddenAct) +
                       " is not supported (silu is)");
  return Status::ok();
}

Status parseTorchDType(const json &root, const std::string &fileName, ModelConfig &config) {
  std::string seen;
  for (const char *key : {"torch_dtype", "dtype"}) {
    SINTER_ASSIGN_OR_RETURN(const std::string name, getString(root, key, fileName, ""));
    if (name.empty())
      continue;
    if (!seen.empty() && seen != name)
      return invalidInput(fileName + ": \"dtype\": contradicts \"torch_dtype\"");
    seen = name;
    if (name == "bfloat16")
      config.dtype = DType::BF16;
    else if (name == "float16")
      config.dtype = DType::F16;
    else if (name == "float32")
      config.dtype = DType::F32;
    else
      return unsupported(fileName + ": \"" + key + "\": " + quoteForMessage(name) +
                         " is not supported (bfloat16, float16 and float32 are)");
  }
  return Status::ok();
}

Status checkInert(const json &root, const std::string &fileName) {
  for (const InertKey &key : kInert)
    if (hasValue(root, key.key) && root.at(key.key) != json::parse(key.inert))
      return unsupported(fileName + ": \"" + key.key + "\": " + key.why);
  return Status::ok();
}

/// Which layers slide: those that `layer_types` names, without it those from `max_window_layers`
/// on.
Result<std::vector<bool>> slidingLayers(const json &root, const std::string &fileName,
                                        const ModelConfig &config, bool sliding) {
  std::vector<bool> slides(static_cast<size_t>(config.layers));
  SINTER_ASSIGN_OR_RETURN(const int64_t first,
                          getInt(root, "max_window_layers", fileName, 28, kNonNegative));
  if (!hasValue(root, "layer_types")) {
    for (int64_t layer = first; sliding && layer < config.layers; ++layer)
      slides[static_cast<size_t>(layer)] = true;
    return slides;
  }
  const json &types = root.at("layer_types");
  if (!types.is_array() || types.size() != slides.size())
    return unexpectedValue(
        fileName, "layer_types",
        "a list of \"num_hidden_layers\" = " + std::to_string(config.layers) + " names", types);
  for (size_t layer = 0; layer < slides.size(); ++layer) {
    slides[layer] = types[layer] == "sliding_attention";
    if (!slides[layer] && types[layer] != "full_attention")
      return unsupported(fileName + ": \"layer_types\": " + describeValue(types[layer]) +
                         " is not supported (full_attention and sliding_attention are)");
    if (slides[layer] && !sliding)
      return invalidInput(fileName + ": \"layer_types\": \"sliding_attention\" needs "
                                     "\"use_sliding_window\": true");
  }
  return slides;
}

Status parseWindows(const json &root, const std::string &fileName, ModelConfig &config) {
  SINTER_ASSIGN_OR_RETURN(const bool sliding, getBool(root, "use_sliding_window", fileName, false));
  SINTER_ASSIGN_OR_RETURN(const std::vector<bool> slides,
                          slidingLayers(root, fileName, config, sliding));
  config.windows.assign(slides.size(), 0);
  if (!sliding)
    return Status::ok();
  // Qwen3Config: absent means 4096, an explicit null no window at all, which contradicts a layer
  // that slides.
  const bool null = root.contains("sliding_window") && root.at("sliding_window").is_null();
  if (null && std::find(slides.begin(), slides.end(), true) != slides.end())
    return unexpectedValue(fileName, "sliding_window", "a positive integer", json());
  SINTER_ASSIGN_OR_RETURN(const int64_t window,
                          getInt(root, "sliding_window", fileName, 4096, kPositive));
  // Where it reaches over all positions it hides nothing, and the faster kernels will do.
  for (size_t layer = 0; layer < slides.size(); ++layer)
    if (slides[layer] && window < config.maxPositionEmbeddings)
      config.windows[layer] = window;
  return Status::ok();
}

Status parseTokens(const json &root, const std::string &fileName, ModelConfig &config) {
  SINTER_ASSIGN_OR_RETURN(config.bosId, getTokenId(root, "bos_token_id", fileName));
  SINTER_ASSIGN_OR_RETURN(config.padId, getTokenId(root, "pad_token_id", fileName));
  SINTER_ASSIGN_OR_RETURN(config.eosIds, getTokenIds(root, "eos_token_id", fileName));
  return Status::ok();
}

} // namespace

Result<ModelConfig> models::parseModelConfig(std::string_view text, const std::string &fileName) {
  SINTER_ASSIGN_OR_RETURN(const json root, parseJson(text, fileName, JsonKeys::Unique));
  if (!root.is_object())
    return invalidInput(fileName + ": expected a JSON object, got " + describeValue(root));
  ModelConfig config;
  SINTER_RETURN_IF_ERROR(parseIdentity(root, fileName, config));
  SINTER_RETURN_IF_ERROR(parseSizes(root, fileName, config));
  SINTER_RETURN_IF_ERROR(parseScalars(root, fileName, config));
  SINTER_RETURN_IF_ERROR(parseTorchDType(root, fileName, config));
  SINTER_RETURN_IF_ERROR(parseRope(root, fileName, config));
  SINTER_RETURN_IF_ERROR(checkInert(root, fileName));
  SINTER_RETURN_IF_ERROR(parseWindows(root, fileName, config));
  SINTER_RETURN_IF_ERROR(parseTokens(root, fileName, config));
  return config;
}

Result<ModelConfig> models::readModelConfig(const std::string &directory) {
  SINTER_ASSIGN_OR_RETURN(const std::string text,
                          readTextFile(directory + "/config.json", kMaxConfigBytes));
  return parseModelConfig(text, "config.json");
}
