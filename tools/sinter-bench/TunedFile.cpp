//===- TunedFile.cpp ------------------------------------------------------===//
#include "TunedFile.h"

#include "Records.h"

#include "sinter/Support/Json.h"
#include "sinter/Support/MappedFile.h"
#include "sinter/Support/OutputFile.h"

#include <cmath>
#include <filesystem>

namespace sinter {
namespace {

using nlohmann::ordered_json;

/// Nanoseconds are more than a measurement holds.
double rounded(double micros) { return std::round(micros * 1e3) / 1e3; }

std::string fusionKey(const ordered_json &row) {
  // By name and size, tokens as numbers.
  char tokens[16];
  std::snprintf(tokens, sizeof tokens, "%08ld", row.value("tokens", 0l));
  return row.value("name", "") + " " + row.value("shape", "") + " " + tokens;
}

/// One row per line: a table is read and compared by people, too.
std::string lines(const std::map<std::string, ordered_json> &rows) {
  std::string text;
  for (const auto &[key, row] : rows)
    text += (text.empty() ? "\n    " : ",\n    ") + row.dump();
  return text.empty() ? "[]" : "[" + text + "\n  ]";
}

} // namespace

Result<TunedFile> TunedFile::open(const std::string &path, const std::string &chip) {
  TunedFile file;
  file.chip_ = chip;
  if (!std::filesystem::exists(path))
    return file;
  constexpr uint64_t kMaxFile = uint64_t(64) << 20;
  SINTER_ASSIGN_OR_RETURN(const std::string text, readTextFile(path, kMaxFile));
  SINTER_ASSIGN_OR_RETURN(const nlohmann::json root, parseJson(text, path));
  SINTER_ASSIGN_OR_RETURN(const std::string format, getString(root, "format", path));
  SINTER_ASSIGN_OR_RETURN(const std::string own, getString(root, "chip", path));
  if (format != "sinter-tuned" || own != chip)
    return invalidInput(path + ": not a tuned table for " + chip);
  const ordered_json ordered = ordered_json::parse(text); // parsed once already: it cannot fail
  for (auto [key, rows] : {std::pair{"linears", &file.linears_}, {"fusions", &file.fusions_}}) {
    if (!root.contains(key) || !root.at(key).is_array())
      return invalidInput(path + ": \"" + key + "\": expected an array");
    for (const ordered_json &row : ordered.at(key)) {
      if (!row.is_object())
        return invalidInput(path + ": \"" + key + "\": expected objects");
      SINTER_ASSIGN_OR_RETURN(const std::string shape, getString(row, "shape", path));
      (*rows)[rows == &file.linears_ ? shape : fusionKey(row)] = row;
    }
  }
  return file;
}

void TunedFile::put(const TunedLinear &row) {
  ordered_json made;
  made["shape"] = row.shape;
  made["op"] = row.op;
  made["kernel"] = row.choice;
  made["us"] = rounded(row.micros);
  made["rules_us"] = rounded(row.rules);
  linears_[row.shape] = made;
}

void TunedFile::put(const TunedFusion &row) {
  ordered_json made;
  made["pass"] = row.pass;
  made["name"] = row.name;
  made["shape"] = row.shape;
  made["tokens"] = row.tokens;
  made["us"] = rounded(row.micros);
  made["apart_us"] = rounded(row.apart);
  if (row.cublas)
    made["cublas_us"] = rounded(*row.cublas);
  fusions_[fusionKey(made)] = made;
}

Status TunedFile::write(const std::string &path) const {
  const auto quoted = [](const std::string &text) { return ordered_json(text).dump(); };
  return writeWholeFile(
      path, "{\n  \"format\": \"sinter-tuned\",\n  \"version\": 1,\n  \"chip\": " + quoted(chip_) +
                ",\n  \"hardware\": " + quoted(hardware) + ",\n  \"commit\": " + quoted(commit) +
                ",\n  \"date\": " + quoted(today()) + ",\n  \"linears\": " + lines(linears_) +
                ",\n  \"fusions\": " + lines(fusions_) + "\n}\n");
}

} // namespace sinter
