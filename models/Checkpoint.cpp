//===- Checkpoint.cpp - the safetensors files of a model ------------------===//
#include "models/Checkpoint.h"

#include "sinter/Support/Json.h"

#include <filesystem>
#include <set>
#include <system_error>

using namespace sinter;
using namespace sinter::models;
using nlohmann::json;

namespace {

constexpr const char *kSingleName = "model.safetensors";
constexpr const char *kIndexName = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 64 << 20;

/// A shard is a file of the model directory itself: an index from elsewhere must not make Sinter
/// read other files.
bool isPlainFileName(const std::string &name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

/// metadata.total_size is not read, as transformers does not: converters have written wrong ones.
Result<std::map<std::string, std::string>> parseIndex(std::string_view text) {
  SINTER_ASSIGN_OR_RETURN(const json root, parseJson(text, kIndexName, JsonKeys::Unique));
  if (!root.is_object() || !hasValue(root, "weight_map"))
    return invalidInput(std::string(kIndexName) + ": \"weight_map\": missing");
  const json &map = root.at("weight_map");
  if (!map.is_object() || map.empty())
    return unexpectedValue(kIndexName, "weight_map", "an object of file names", map);
  std::map<std::string, std::string> index;
  for (const auto &[tensor, file] : map.items()) {
    const std::string where = std::string(kIndexName) + ": tensor " + quoteForMessage(tensor);
    if (!file.is_string())
      return invalidInput(where + ": expected a file name, got " + describeValue(file));
    const auto name = file.get<std::string>();
    if (!isPlainFileName(name))
      return invalidInput(where + ": " + quoteForMessage(name) +
                          " is not the name of a file in the model directory");
    index[tensor] = name;
  }
  return index;
}

} // namespace

std::optional<TensorLocation> Checkpoint::lookup(std::string_view name) const {
  auto it = tensors_.find(name);
  if (it == tensors_.end())
    return std::nullopt;
  return it->second;
}

Status Checkpoint::openSingle() {
  mainFile_ = kSingleName;
  SINTER_ASSIGN_OR_RETURN(SafetensorsFile file,
                          SafetensorsFile::open(directory_ + "/" + kSingleName));
  files_.push_back(std::move(file));
  for (const SafetensorsTensor &tensor : files_[0].header().tensors)
    tensors_[tensor.name] = {0, &tensor};
  return Status::ok();
}

Status Checkpoint::openSharded() {
  mainFile_ = kIndexName;
  SINTER_ASSIGN_OR_RETURN(const std::string text,
                          readTextFile(directory_ + "/" + kIndexName, kMaxIndexBytes));
  SINTER_ASSIGN_OR_RETURN(const auto index, parseIndex(text));
  std::set<std::string> shards;
  for (const auto &[tensor, file] : index)
    shards.insert(file);
  files_.reserve(shards.size());
  for (const std::string &name : shards)
    SINTER_RETURN_IF_ERROR(addShard(name, index));
  for (const auto &[tensor, file] : index)
    if (!lookup(tensor))
      return invalidInput(file + ": tensor " + quoteForMessage(tensor) + " is missing, " +
                          kIndexName + " says it is here");
  return Status::ok();
}

Status Checkpoint::addShard(const std::string &name,
                            const std::map<std::string, std::string> &index) {
  Result<SafetensorsFile> file = SafetensorsFile::open(directory_ + "/" + name);
  if (!file && file.status().code() == StatusCode::NotFound)
    return notFound(std::string(kIndexName) + ": names " + quoteForMessage(name) +
                    ", which is not in " + directory_);
  if (!file)
    return file.status();
  files_.push_back(*std::move(file));
  for (const SafetensorsTensor &tensor : files_.back().header().tensors) {
    const std::string where = name + ": tensor " + quoteForMessage(tensor.name);
    auto entry = index.find(tensor.name);
    if (entry == index.end())
      return invalidInput(where + " is not listed in " + kIndexName);
    if (entry->second != name)
      return invalidInput(where + " is here, " + kIndexName + " says it is in " +
                          quoteForMessage(entry->second));
    tensors_[tensor.name] = {files_.size() - 1, &tensor};
  }
  return Status::ok();
}

Result<Checkpoint> models::openCheckpoint(const std::string &directory) {
  const auto exists = [&](const char *name) {
    std::error_code ignored;
    return std::filesystem::exists(directory + "/" + name, ignored);
  };
  Checkpoint checkpoint;
  checkpoint.directory_ = directory;
  if (exists(kSingleName))
    SINTER_RETURN_IF_ERROR(checkpoint.openSingle());
  else if (exists(kIndexName))
    SINTER_RETURN_IF_ERROR(checkpoint.openSharded());
  else
    return notFound(directory + ": has neither " + kSingleName + " nor " + kIndexName);
  return checkpoint;
}
