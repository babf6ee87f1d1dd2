//===- GenerationConfig.cpp - generation_config.json ----------------------===//
#include "models/GenerationConfig.h"

#include "models/TokenIds.h"
#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"

using namespace sinter;
using namespace sinter::models;
using nlohmann::json;

namespace {

constexpr uint64_t kMaxBytes = 1 << 20;

struct NumberKey {
  const char *key;
  double GenerationConfig::*field;
  double min, max;
  const char *expected;
};

constexpr NumberKey kNumbers[] = {
    {"temperature", &GenerationConfig::temperature, 0, 1e6, "a non-negative number"},
    {"top_p", &GenerationConfig::topP, 1e-9, 1, "a number above 0 and at most 1"},
    {"min_p", &GenerationConfig::minP, 0, 1, "a number from 0 to 1"},
    {"repetition_penalty", &GenerationConfig::repetitionPenalty, 1e-6, 1e6, "a positive number"},
};

/// Settings that pick another algorithm, with the values that leave it off.
struct OffKey {
  const char *key;
  double off;
};

constexpr OffKey kOff[] = {
    {"num_beams", 1},
    {"num_beam_groups", 1},
    {"num_return_sequences", 1},
    {"diversity_penalty", 0},
    {"penalty_alpha", 0},
    {"typical_p", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"top_h", 0},
    {"no_repeat_ngram_size", 0},
    {"encoder_repetition_penalty", 1},
    {"guidance_scale", 1},
    {"encoder_no_repeat_ngram_size", 0},
    {"min_length", 0},
};

/// Settings that change which tokens may come, off where they are absent or empty.
constexpr const char *kAbsent[] = {
    "stop_strings",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "force_words_ids",
    "constraints",
    "sequence_bias",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "forced_decoder_ids",
    "exponential_decay_length_penalty",
    "watermarking_config",
    "dola_layers",
    "token_healing",
    "min_new_tokens",
    "max_time",
};

bool isOff(const json &value) { return value.empty() || value == 0 || value == false; }

Result<std::optional<int64_t>> getCount(const json &root, const char *key,
                                        const std::string &where) {
  if (!hasValue(root, key))
    return std::optional<int64_t>();
  SINTER_ASSIGN_OR_RETURN(const int64_t count, getInt(root, key, where, 1, {1, INT32_MAX}));
  return std::optional<int64_t>(count);
}

} // namespace

Result<GenerationConfig> models::parseGenerationConfig(std::string_view text,
                                                       const std::string &fileName) {
  SINTER_ASSIGN_OR_RETURN(const json root, parseJson(text, fileName, JsonKeys::Unique));
  if (!root.is_object())
    return invalidInput(fileName + ": expected a JSON object, got " + describeValue(root));
  GenerationConfig config;
  SINTER_ASSIGN_OR_RETURN(config.eosIds, getTokenIds(root, "eos_token_id", fileName));
  SINTER_ASSIGN_OR_RETURN(config.bosId, getTokenId(root, "bos_token_id", fileName));
  SINTER_ASSIGN_OR_RETURN(config.padId, getTokenId(root, "pad_token_id", fileName));
  SINTER_ASSIGN_OR_RETURN(config.maxNewTokens, getCount(root, "max_new_tokens", fileName));
  SINTER_ASSIGN_OR_RETURN(config.maxLength, getCount(root, "max_length", fileName));
  SINTER_ASSIGN_OR_RETURN(config.doSample, getBool(root, "do_sample", fileName, false));
  SINTER_ASSIGN_OR_RETURN(config.topK,
                          getInt(root, "top_k", fileName, config.topK, {0, INT32_MAX}));
  for (const NumberKey &number : kNumbers) {
    double &field = config.*number.field;
    SINTER_ASSIGN_OR_RETURN(field, getDouble(root, number.key, fileName, field));
    if (!(field >= number.min && field <= number.max))
      return unexpectedValue(fileName, number.key, number.expected, root.at(number.key));
  }
  for (const OffKey &key : kOff) {
    SINTER_ASSIGN_OR_RETURN(const double value, getDouble(root, key.key, fileName, key.off));
    if (value != key.off)
      return unsupported(fileName + ": \"" + key.key +
                         "\": this kind of decoding is not supported");
  }
  for (const char *key : kAbsent)
    if (hasValue(root, key) && !isOff(root.at(key)))
      return unsupported(fileName + ": \"" + key + "\": this kind of decoding is not supported");
  return config;
}

Result<GenerationConfig> models::readGenerationConfig(const std::string &directory,
                                                      const ModelConfig &config) {
  GenerationConfig generation;
  Result<std::string> text = readTextFile(directory + "/generation_config.json", kMaxBytes);
  if (text) {
    SINTER_ASSIGN_OR_RETURN(generation, parseGenerationConfig(*text, "generation_config.json"));
  } else if (text.status().code() != StatusCode::NotFound) {
    return text.status();
  }
  const bool own = !generation.eosIds.empty();
  if (!own)
    generation.eosIds = config.eosIds;
  for (const int64_t id : generation.eosIds)
    if (id >= config.vocab)
      return invalidInput(std::string(own ? "generation_config.json" : "config.json") +
                          ": \"eos_token_id\": " + std::to_string(id) +
                          " is outside the vocabulary of " + std::to_string(config.vocab));
  if (!generation.bosId)
    generation.bosId = config.bosId;
  if (!generation.padId)
    generation.padId = config.padId;
  return generation;
}
