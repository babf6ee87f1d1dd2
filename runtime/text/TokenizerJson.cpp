//===- TokenizerJson.cpp - reads Hugging Face's tokenizer.json ------------===//

#include "runtime/text/TokenizerJson.h"

#include <algorithm>
#include <initializer_list>
#include <optional>

#include <nlohmann/json.hpp>

#include "runtime/text/Splitter.h"
#include "runtime/text/TokenizerSax.h"
#include "sinter/Support/Json.h"

namespace sinter::text {
namespace {

using Json = nlohmann::json;

Status refuse(const std::string &path, const Json &value) {
  return unsupported(path + ": " + describeValue(value) + " is not supported");
}
Status wrongType(const std::string &path, std::string_view wanted) {
  return invalidInput(path + ": needs " + std::string(wanted));
}

/// Refuses keys that are not in the list.
Status checkKeys(const Json &object, const std::string &path,
                 std::initializer_list<std::string_view> known) {
  for (const auto &[key, value] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end())
      return unsupported(path + (path.empty() ? "" : ".") + keyForMessage(key) +
                         ": this key is not supported");
  return Status::ok();
}

/// A required or defaulted boolean.
Result<bool> boolean(const Json &object, const std::string &path, const char *key,
                     std::optional<bool> fallback = std::nullopt) {
  auto it = object.find(key);
  if (it == object.end() && fallback)
    return *fallback;
  if (it == object.end() || !it->is_boolean())
    return wrongType(path + "." + key, "true or false");
  return it->get<bool>();
}

/// The value of "type" of an object that must have one.
Result<std::string> typeOf(const Json &object, const std::string &path) {
  if (!object.is_object())
    return wrongType(path, "an object");
  auto it = object.find("type");
  if (it == object.end() || !it->is_string())
    return wrongType(path + ".type", "a string");
  return it->get<std::string>();
}

const Json &at(const Json &object, const char *key) {
  static const Json null;
  auto it = object.find(key);
  return it == object.end() ? null : *it;
}

Status readNormalizer(const Json &node, const std::string &path, TokenizerSpec &spec) {
  if (node.is_null())
    return Status::ok();
  SINTER_ASSIGN_OR_RETURN(std::string type, typeOf(node, path));
  if (type == "NFC") {
    spec.normalizeNfc = true;
    return checkKeys(node, path, {"type"});
  }
  if (type != "Sequence")
    return refuse(path + ".type", node["type"]);
  SINTER_RETURN_IF_ERROR(checkKeys(node, path, {"type", "normalizers"}));
  const Json &list = at(node, "normalizers");
  if (!list.is_array())
    return wrongType(path + ".normalizers", "a list");
  for (size_t i = 0; i < list.size(); ++i) {
    std::string item = path + ".normalizers[" + std::to_string(i) + "]";
    if (list[i].is_object() && at(list[i], "type") == "Sequence")
      return refuse(item + ".type", "Sequence");
    SINTER_RETURN_IF_ERROR(readNormalizer(list[i], item, spec));
  }
  return Status::ok();
}

/// ByteLevel where it pre-tokenizes; returns its `use_regex`.
Result<bool> readByteLevel(const Json &node, const std::string &path) {
  SINTER_RETURN_IF_ERROR(
      checkKeys(node, path, {"type", "add_prefix_space", "trim_offsets", "use_regex"}));
  SINTER_ASSIGN_OR_RETURN(bool prefix, boolean(node, path, "add_prefix_space"));
  if (prefix)
    return refuse(path + ".add_prefix_space", true);
  // Offsets are not reported, so trimming them has no effect.
  SINTER_ASSIGN_OR_RETURN([[maybe_unused]] bool trim, boolean(node, path, "trim_offsets", true));
  return boolean(node, path, "use_regex", true);
}

Status readSplit(const Json &node, const std::string &path, TokenizerSpec &spec) {
  SINTER_RETURN_IF_ERROR(checkKeys(node, path, {"type", "pattern", "behavior", "invert"}));
  const Json &pattern = at(node, "pattern");
  if (!pattern.is_object())
    return wrongType(path + ".pattern", "an object");
  SINTER_RETURN_IF_ERROR(checkKeys(pattern, path + ".pattern", {"Regex"}));
  const Json &regex = at(pattern, "Regex");
  if (!regex.is_string())
    return wrongType(path + ".pattern.Regex", "a string");
  if (at(node, "behavior") != "Isolated")
    return refuse(path + ".behavior", at(node, "behavior"));
  SINTER_ASSIGN_OR_RETURN(bool invert, boolean(node, path, "invert"));
  if (invert)
    return refuse(path + ".invert", true);
  spec.splitPatterns.push_back(regex.get<std::string>());
  return Status::ok();
}

/// A list of Splits that ends in ByteLevel, or ByteLevel alone.
Status readPreTokenizer(const Json &node, const std::string &path, TokenizerSpec &spec) {
  SINTER_ASSIGN_OR_RETURN(std::string type, typeOf(node, path));
  if (type == "ByteLevel") {
    SINTER_ASSIGN_OR_RETURN(bool useRegex, readByteLevel(node, path));
    if (useRegex)
      spec.splitPatterns.emplace_back(kGpt2Pattern);
    return Status::ok();
  }
  if (type != "Sequence")
    return refuse(path + ".type", node["type"]);
  SINTER_RETURN_IF_ERROR(checkKeys(node, path, {"type", "pretokenizers"}));
  const Json &list = at(node, "pretokenizers");
  if (!list.is_array() || list.empty())
    return wrongType(path + ".pretokenizers", "a list that is not empty");
  for (size_t i = 0; i < list.size(); ++i) {
    std::string item = path + ".pretokenizers[" + std::to_string(i) + "]";
    SINTER_ASSIGN_OR_RETURN(std::string kind, typeOf(list[i], item));
    bool last = i + 1 == list.size();
    if (kind == "Split" && !last)
      SINTER_RETURN_IF_ERROR(readSplit(list[i], item, spec));
    else if (kind == "ByteLevel" && last)
      SINTER_RETURN_IF_ERROR(readPreTokenizer(list[i], item, spec));
    else if (kind == "Split" || kind == "ByteLevel")
      return unsupported(item + ": ByteLevel must come last, and only last");
    else
      return refuse(item + ".type", kind);
  }
  return Status::ok();
}

/// The decoder must undo ByteLevel; the post-processor must not add tokens.
Status readByteLevelOnly(const Json &node, const std::string &path) {
  if (node.is_null())
    return refuse(path, node);
  SINTER_ASSIGN_OR_RETURN(std::string type, typeOf(node, path));
  if (type != "ByteLevel")
    return refuse(path + ".type", node["type"]);
  return checkKeys(node, path, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
}

Status readAddedTokens(const Json &list, TokenizerSpec &spec) {
  if (list.is_null())
    return Status::ok();
  if (!list.is_array())
    return wrongType("added_tokens", "a list");
  for (size_t i = 0; i < list.size(); ++i) {
    const Json &node = list[i];
    std::string path = "added_tokens[" + std::to_string(i) + "]";
    if (!node.is_object())
      return wrongType(path, "an object");
    SINTER_RETURN_IF_ERROR(checkKeys(
        node, path, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}));
    const Json &id = at(node, "id"), &content = at(node, "content");
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kMaxTokenId)
      return wrongType(path + ".id", "a token id up to " + std::to_string(kMaxTokenId));
    if (!content.is_string() || content.get_ref<const std::string &>().empty())
      return wrongType(path + ".content", "a string that is not empty");
    SINTER_ASSIGN_OR_RETURN(bool singleWord, boolean(node, path, "single_word"));
    if (singleWord)
      return refuse(path + ".single_word", true);
    AddedToken token{id.get<int32_t>(), content.get<std::string>(), false, false, false, false};
    SINTER_ASSIGN_OR_RETURN(token.lstrip, boolean(node, path, "lstrip"));
    SINTER_ASSIGN_OR_RETURN(token.rstrip, boolean(node, path, "rstrip"));
    SINTER_ASSIGN_OR_RETURN(token.normalized, boolean(node, path, "normalized"));
    SINTER_ASSIGN_OR_RETURN(token.special, boolean(node, path, "special"));
    spec.addedTokens.push_back(std::move(token));
  }
  return Status::ok();
}

Status readModel(const Json &model, TokenizerSpec &spec) {
  if (!model.is_object())
    return wrongType("model", "an object");
  SINTER_RETURN_IF_ERROR(
      checkKeys(model, "model",
                {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                 "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"}));
  // Files of GPT-2's time have no "type"; the merges, required below, make them BPE.
  if (model.contains("type") && model["type"] != "BPE")
    return refuse("model.type", model["type"]);
  if (!at(model, "dropout").is_null())
    return refuse("model.dropout", model["dropout"]);
  for (const char *key : {"unk_token", "continuing_subword_prefix", "end_of_word_suffix"})
    if (!at(model, key).is_null() && at(model, key) != "")
      return refuse(std::string("model.") + key, model[key]);
  // Without an unknown token there is nothing that fuse_unk could join.
  SINTER_ASSIGN_OR_RETURN([[maybe_unused]] bool fuse, boolean(model, "model", "fuse_unk", false));
  SINTER_ASSIGN_OR_RETURN(bool fallback, boolean(model, "model", "byte_fallback", false));
  if (fallback)
    return refuse("model.byte_fallback", true);
  SINTER_ASSIGN_OR_RETURN(spec.ignoreMerges, boolean(model, "model", "ignore_merges", false));
  for (const char *key : {"vocab", "merges"})
    if (!model.contains(key))
      return invalidInput(std::string("model.") + key + ": missing");
  return Status::ok();
}

} // namespace

Result<TokenizerSpec> parseTokenizerJson(std::string_view json) {
  TokenizerSpec spec;
  Json root;
  TokenizerSax sax(spec, root);
  if (!Json::sax_parse(json.begin(), json.end(), &sax))
    return sax.error();
  if (!root.is_object())
    return invalidInput("needs an object at the top");
  SINTER_RETURN_IF_ERROR(
      checkKeys(root, "",
                {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                 "post_processor", "decoder", "model"}));
  if (at(root, "version") != "1.0")
    return refuse("version", at(root, "version"));
  for (const char *key : {"truncation", "padding"})
    if (!at(root, key).is_null())
      return refuse(key, root[key]);
  SINTER_RETURN_IF_ERROR(readModel(at(root, "model"), spec));
  SINTER_RETURN_IF_ERROR(readAddedTokens(at(root, "added_tokens"), spec));
  SINTER_RETURN_IF_ERROR(readNormalizer(at(root, "normalizer"), "normalizer", spec));
  SINTER_RETURN_IF_ERROR(readPreTokenizer(at(root, "pre_tokenizer"), "pre_tokenizer", spec));
  if (!at(root, "post_processor").is_null())
    SINTER_RETURN_IF_ERROR(readByteLevelOnly(root["post_processor"], "post_processor"));
  SINTER_RETURN_IF_ERROR(readByteLevelOnly(at(root, "decoder"), "decoder"));
  return spec;
}

} // namespace sinter::text
