//===- Records.cpp --------------------------------------------------------===//
#include "Records.h"

#include "Bars.h"

#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"
#include "sinter/Support/OutputFile.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <map>

namespace sinter {
namespace {

using nlohmann::ordered_json;

ordered_json number(const std::optional<double> &value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json toJson(const BenchRecord &record, const ordered_json &old) {
  ordered_json object;
  object["name"] = record.name;
  object["value"] = record.value;
  object["unit"] = record.unit;
  object["floor"] = number(record.floor);
  if (record.peerValue) {
    object["peer"] = record.peer;
    object["peer_value"] = *record.peerValue;
  } else {
    for (const char *key : {"peer", "peer_value"})
      object[key] = old.contains(key) ? old[key] : ordered_json(nullptr);
  }
  if (record.secondPeerValue) {
    object["second_peer"] = record.secondPeer;
    object["second_peer_value"] = *record.secondPeerValue;
  }
  object["bar"] = number(record.bar ? record.bar : barOf(record.name, record.hardware));
  object["hardware"] = record.hardware;
  object["commit"] = record.commit;
  object["date"] = today();
  return object;
}

/// The records of an existing file by name; none when there is no file.
Result<std::map<std::string, ordered_json>> readRecords(const std::string &path) {
  std::map<std::string, ordered_json> records;
  if (!std::filesystem::exists(path))
    return records;
  constexpr uint64_t kMaxFile = uint64_t(16) << 20;
  SINTER_ASSIGN_OR_RETURN(const std::string text, readTextFile(path, kMaxFile));
  SINTER_ASSIGN_OR_RETURN(const nlohmann::json root, parseJson(text, path));
  if (!root.is_array())
    return invalidInput(path + ": expected an array of records");
  const ordered_json ordered = ordered_json::parse(text); // parsed once already: it cannot fail
  for (size_t i = 0; i < root.size(); ++i) {
    SINTER_ASSIGN_OR_RETURN(const std::string name, getString(root[i], "name", path));
    records[name] = ordered[i];
  }
  return records;
}

} // namespace

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

Status checkRecords(const std::string &path) {
  SINTER_RETURN_IF_ERROR(readRecords(path).status());
  return OutputFile::check(path);
}

Status mergeRecords(const std::string &path, const std::vector<BenchRecord> &added) {
  SINTER_ASSIGN_OR_RETURN(auto records, readRecords(path));
  for (const BenchRecord &record : added)
    records[record.name] = toJson(record, records[record.name]);
  ordered_json array = ordered_json::array();
  for (const auto &[name, record] : records)
    array.push_back(record);
  return writeWholeFile(path, array.dump(2) + "\n");
}

} // namespace sinter
