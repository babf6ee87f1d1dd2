//===- TunedTable.cpp - what was measured on a GPU ------------------------===//
#include "TunedTable.h"

#include "Tuning.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/JSON.h"

#include <cmath>

using namespace llvm;
using namespace sinter;
using namespace sinter::gpu;

// The assembler copies the file, as for the hand-written kernels.
asm(".pushsection .rodata, \"a\", @progbits\n"
    "sinter_tuned_h200:\n"
    ".incbin \"" SINTER_TUNED_H200 "\"\n"
    "sinter_tuned_h200_end:\n"
    ".byte 0\n"
    ".popsection\n");
extern "C" __attribute__((visibility("hidden"))) const char sinter_tuned_h200[],
    sinter_tuned_h200_end[];

namespace sinter::gpu {

/// Reads one table; the first error wins.
struct TableReader {
  TunedTable table;
  std::string where;
  std::string error;

  bool fail(const Twine &what) {
    if (error.empty())
      error = (where + ": " + what).str();
    return false;
  }

  /// Keys outside `known` are refused: a table of a newer Sinter says something that would be lost.
  bool onlyKeys(const json::Object &object, ArrayRef<StringRef> known, const Twine &in) {
    for (const auto &entry : object)
      if (!is_contained(known, StringRef(entry.first)))
        return fail(in + ": unknown key \"" + StringRef(entry.first) + "\"");
    return true;
  }

  bool text(const json::Object &object, StringRef key, const Twine &in, StringRef &value) {
    const auto found = object.getString(key);
    if (!found || found->empty())
      return fail(in + ": \"" + key + "\": expected a string");
    value = *found;
    return true;
  }

  bool micros(const json::Object &object, StringRef key, const Twine &in, double &value) {
    const auto found = object.getNumber(key);
    if (!found || !std::isfinite(*found) || *found <= 0)
      return fail(in + ": \"" + key + "\": expected a time above 0");
    value = *found;
    return true;
  }

  bool linear(const json::Object &row, const Twine &in) {
    StringRef shape, kernel;
    TunedTable::Linear made;
    double rules = 0;
    if (!onlyKeys(row, {"shape", "op", "kernel", "us", "rules_us"}, in) ||
        !text(row, "shape", in, shape) || !text(row, "kernel", in, kernel) ||
        !micros(row, "us", in, made.micros) ||
        (row.get("rules_us") && !micros(row, "rules_us", in, rules)))
      return false;
    std::string why;
    if (!parseKernelText(kernel, made.tuning, why))
      return fail(in + ": \"kernel\": " + why);
    if (!table.linears.emplace(shape.str(), made).second)
      return fail(in + ": a second row of " + shape);
    return true;
  }

  bool fusion(const json::Object &row, const Twine &in) {
    StringRef pass, shape;
    TunedTable::Fusion made;
    const auto tokens = row.getInteger("tokens");
    if (!onlyKeys(row, {"pass", "name", "shape", "tokens", "us", "apart_us", "cublas_us"}, in) ||
        !text(row, "pass", in, pass) || !text(row, "shape", in, shape) ||
        !micros(row, "us", in, made.fused) || !micros(row, "apart_us", in, made.apart))
      return false;
    if (!tokens || *tokens < 1)
      return fail(in + ": \"tokens\": expected a positive integer");
    table.fusions[(pass + " " + shape).str()][*tokens] = made;
    return true;
  }

  bool rows(const json::Object &root, StringRef key,
            bool (TableReader::*read)(const json::Object &, const Twine &)) {
    const json::Array *array = root.getArray(key);
    if (!array)
      return fail("\"" + key + "\": expected an array");
    for (const auto &[i, value] : enumerate(*array)) {
      const std::string in = (key + "[" + Twine(i) + "]").str();
      const json::Object *row = value.getAsObject();
      if (!row)
        return fail(in + ": expected an object");
      if (!(this->*read)(*row, in))
        return false;
    }
    return true;
  }

  bool read(const json::Object &root, StringRef chip) {
    StringRef format, own;
    const auto version = root.getInteger("version");
    if (!text(root, "format", "table", format))
      return false;
    if (format != "sinter-tuned" || !version || *version != 1)
      return fail("not a tuned table of version 1");
    if (!onlyKeys(root,
                  {"format", "version", "chip", "hardware", "commit", "date", "linears", "fusions"},
                  "table") ||
        !text(root, "chip", "table", own))
      return false;
    if (own != chip)
      return fail("measured for " + own + ", compiled for " + chip);
    return rows(root, "linears", &TableReader::linear) &&
           rows(root, "fusions", &TableReader::fusion);
  }
};

} // namespace sinter::gpu

Result<std::shared_ptr<const TunedTable>> TunedTable::parse(StringRef text, const std::string &name,
                                                            StringRef chip) {
  TableReader reader;
  reader.where = name;
  Expected<json::Value> parsed = json::parse(text);
  if (!parsed) {
    std::string line = toString(parsed.takeError());
    llvm::replace(line, '\n', ' ');
    return invalidInput(name + ": not JSON: " + line);
  }
  const json::Object *root = parsed->getAsObject();
  if (!root)
    return invalidInput(name + ": expected a JSON object");
  if (!reader.read(*root, chip))
    return invalidInput(reader.error);
  return std::shared_ptr<const TunedTable>(std::make_shared<TunedTable>(std::move(reader.table)));
}

std::shared_ptr<const TunedTable> TunedTable::builtin(StringRef chip) {
  if (chip != "sm_90a")
    return nullptr;
  static const std::shared_ptr<const TunedTable> table = [] {
    auto parsed = parse({sinter_tuned_h200, size_t(sinter_tuned_h200_end - sinter_tuned_h200)},
                        "h200.json", "sm_90a");
    assert(parsed && "TunedTableTest reads it, too");
    return parsed ? *parsed : nullptr;
  }();
  return table;
}

const TunedTable::Linear *TunedTable::find(const LinearSpec &spec) const {
  const auto found = linears.find(shapeText(spec));
  return found == linears.end() ? nullptr : &found->second;
}

std::optional<std::pair<int64_t, TunedTable::Fusion>>
TunedTable::fusion(StringRef pass, StringRef shape, int64_t tokens) const {
  const auto found = fusions.find((pass + " " + shape).str());
  if (found == fusions.end())
    return std::nullopt;
  auto row = found->second.lower_bound(tokens);
  if (row == found->second.end())
    --row;
  return *row;
}
