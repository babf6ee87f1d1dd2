//===- Safetensors.cpp - the checkpoint file format -----------------------===//
#include "sinter/Support/Safetensors.h"

#include "sinter/Support/Json.h"
#include "sinter/Support/Sha256.h"

#include <algorithm>
#include <optional>
#include <tuple>

using namespace sinter;
using nlohmann::json;

namespace {

struct ElementType {
  std::string_view name;
  unsigned bits;
};

/// Every element type of the format; what Sinter computes with is usableDType's business.
constexpr ElementType kElementTypes[] = {
    {"BOOL", 8},        {"U8", 8},         {"I8", 8},      {"F8_E5M2", 8}, {"F8_E4M3", 8},
    {"F8_E8M0", 8},     {"F4", 4},         {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"I16", 16},
    {"U16", 16},        {"F16", 16},       {"BF16", 16},   {"I32", 32},    {"U32", 32},
    {"F32", 32},        {"C64", 64},       {"F64", 64},    {"I64", 64},    {"U64", 64},
    {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}};

std::optional<unsigned> elementBits(std::string_view name) {
  for (const ElementType &type : kElementTypes)
    if (type.name == name)
      return type.bits;
  return std::nullopt;
}

std::string tensorPrefix(const std::string &fileName, const std::string &name) {
  return fileName + ": tensor " + quoteForMessage(name);
}

uint64_t loadLittleEndian64(std::string_view bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i)
    value = value << 8 | static_cast<uint8_t>(bytes[size_t(i)]);
  return value;
}

/// Checks the frame around the header text: length field and file size.
Result<uint64_t> headerLength(std::string_view prefix, uint64_t fileSize,
                              const std::string &fileName) {
  if (fileSize < 8 || prefix.size() < 8)
    return invalidInput(fileName + ": truncated: " + std::to_string(fileSize) +
                        " bytes, a safetensors file starts with an 8-byte header length");
  const uint64_t length = loadLittleEndian64(prefix.substr(0, 8));
  if (length > kMaxSafetensorsHeader)
    return invalidInput(fileName + ": header length " + std::to_string(length) +
                        " is over the limit of " + std::to_string(kMaxSafetensorsHeader) +
                        " bytes (is this a safetensors file?)");
  if (length > fileSize - 8)
    return invalidInput(fileName + ": truncated: the header has " + std::to_string(length) +
                        " bytes, the file only " + std::to_string(fileSize - 8) + " after byte 8");
  return length;
}

} // namespace

namespace sinter {
struct SafetensorsParser {
  SafetensorsHeader header;

  Status run(std::string_view prefix);

private:
  Status addMetadata(const json &object);
  Status addTensor(const std::string &name, const json &entry);
  Status checkSize(const SafetensorsTensor &tensor, unsigned bits);
  Status checkTiling();

  Status tensorError(const std::string &name, const std::string &text) {
    return invalidInput(tensorPrefix(header.fileName, name) + ": " + text);
  }
};
} // namespace sinter

Status SafetensorsParser::run(std::string_view prefix) {
  SINTER_ASSIGN_OR_RETURN(const uint64_t length,
                          headerLength(prefix, header.fileSize, header.fileName));
  if (prefix.size() - 8 < length)
    return invalidArgument(header.fileName + ": the caller passed less than the header");
  const std::string_view text = prefix.substr(8, length);
  header.dataBegin = 8 + length;
  header.hash = toHex(Sha256::of(prefix.data(), header.dataBegin));
  if (text.empty() || text[0] != '{')
    return invalidInput(header.fileName +
                        ": the header is not a JSON object (is this a safetensors file?)");
  SINTER_ASSIGN_OR_RETURN(const json object,
                          parseJson(text, header.fileName + ": header", JsonKeys::Unique));
  for (const auto &[name, entry] : object.items())
    SINTER_RETURN_IF_ERROR(name == "__metadata__" ? addMetadata(entry) : addTensor(name, entry));
  return checkTiling();
}

Status SafetensorsParser::addMetadata(const json &object) {
  const std::string where = header.fileName + ": \"__metadata__\"";
  if (!object.is_object())
    return invalidInput(where + ": expected an object of strings, got " + describeValue(object));
  for (const auto &[key, value] : object.items()) {
    if (!value.is_string())
      return unexpectedValue(where, key, "a string", value);
    header.metadata[key] = value.get<std::string>();
  }
  return Status::ok();
}

Status SafetensorsParser::addTensor(const std::string &name, const json &entry) {
  const std::string where = tensorPrefix(header.fileName, name);
  if (!entry.is_object())
    return invalidInput(where + ": expected an object, got " + describeValue(entry));
  for (const auto &[key, value] : entry.items())
    if (key != "dtype" && key != "shape" && key != "data_offsets")
      return tensorError(name, "unknown key " + quoteForMessage(key));
  SafetensorsTensor tensor;
  tensor.name = name;
  SINTER_ASSIGN_OR_RETURN(tensor.dtypeName, getString(entry, "dtype", where));
  const std::optional<unsigned> bits = elementBits(tensor.dtypeName);
  if (!bits)
    return tensorError(name, "unknown dtype " + quoteForMessage(tensor.dtypeName));

  for (const char *key : {"shape", "data_offsets"}) {
    if (!entry.contains(key))
      return tensorError(name, std::string("\"") + key + "\": missing");
    const json &list = entry.at(key);
    const bool valid = list.is_array() && std::all_of(list.begin(), list.end(), [](const json &n) {
                         return n.is_number_unsigned() && n.get<uint64_t>() <= INT64_MAX;
                       });
    if (!valid)
      return unexpectedValue(where, key, "a list of non-negative integers", list);
  }
  tensor.shape = entry.at("shape").get<std::vector<int64_t>>();
  const auto offsets = entry.at("data_offsets").get<std::vector<uint64_t>>();
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    return unexpectedValue(where, "data_offsets", "[begin, end] with begin <= end",
                           entry.at("data_offsets"));
  const uint64_t dataBytes = header.fileSize - header.dataBegin;
  if (offsets[1] > dataBytes)
    return tensorError(name, "data ends at byte " + std::to_string(offsets[1]) +
                                 ", the file has only " + std::to_string(dataBytes) +
                                 " bytes of data (truncated?)");
  tensor.begin = header.dataBegin + offsets[0];
  tensor.end = header.dataBegin + offsets[1];
  SINTER_RETURN_IF_ERROR(checkSize(tensor, *bits));
  header.tensors.push_back(std::move(tensor));
  return Status::ok();
}

/// Shape times element size must be the byte range, without overflow on the way.
Status SafetensorsParser::checkSize(const SafetensorsTensor &tensor, unsigned bits) {
  uint64_t total = bits;
  const bool empty = std::count(tensor.shape.begin(), tensor.shape.end(), 0) != 0;
  for (int64_t extent : tensor.shape)
    if (!empty && __builtin_mul_overflow(total, static_cast<uint64_t>(extent), &total))
      return tensorError(tensor.name,
                         "shape " + formatShape(tensor.shape) + " is too large to address");
  if (empty)
    total = 0;
  if (total % 8 != 0 || total / 8 != tensor.bytes())
    return tensorError(tensor.name,
                       "shape " + formatShape(tensor.shape) + " of " + tensor.dtypeName +
                           " needs " + std::to_string((total + 7) / 8) + " bytes" +
                           (total % 8 != 0 ? " (and is not a whole number of them)" : "") +
                           ", data_offsets hold " + std::to_string(tensor.bytes()));
  return Status::ok();
}

Status SafetensorsParser::checkTiling() {
  auto &tensors = header.tensors;
  std::sort(tensors.begin(), tensors.end(), [](const auto &a, const auto &b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t next = header.dataBegin;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const SafetensorsTensor &tensor = tensors[i];
    if (tensor.begin < next)
      return tensorError(tensor.name,
                         "data overlaps tensor " + quoteForMessage(tensors[i - 1].name));
    if (tensor.begin > next)
      return tensorError(tensor.name, std::to_string(tensor.begin - next) +
                                          " bytes before its data belong to no tensor");
    next = tensor.end;
    header.byName_.emplace(tensor.name, i);
  }
  if (next != header.fileSize)
    return invalidInput(header.fileName + ": " + std::to_string(header.fileSize - next) +
                        " bytes at the end of the file belong to no tensor");
  return Status::ok();
}

std::string sinter::formatShape(const std::vector<int64_t> &shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

const SafetensorsTensor *SafetensorsHeader::find(std::string_view name) const {
  auto it = byName_.find(name);
  return it == byName_.end() ? nullptr : &tensors[it->second];
}

Result<SafetensorsHeader> sinter::parseSafetensorsHeader(std::string_view prefix, uint64_t fileSize,
                                                         const std::string &fileName) {
  SafetensorsParser parser;
  parser.header.fileName = fileName;
  parser.header.fileSize = fileSize;
  SINTER_RETURN_IF_ERROR(parser.run(prefix));
  return std::move(parser.header);
}

Result<DType> sinter::usableDType(const SafetensorsTensor &tensor, const std::string &fileName) {
  if (tensor.dtypeName == "F32")
    return DType::F32;
  if (tensor.dtypeName == "BF16")
    return DType::BF16;
  if (tensor.dtypeName == "F16")
    return DType::F16;
  if (tensor.dtypeName == "I32")
    return DType::I32;
  return unsupported(tensorPrefix(fileName, tensor.name) + ": element type " + tensor.dtypeName +
                     " is not supported (F32, BF16, F16 and I32 are)");
}

Result<SafetensorsFile> SafetensorsFile::open(const std::string &path) {
  SafetensorsFile result;
  SINTER_ASSIGN_OR_RETURN(result.file_, MappedFile::open(path));
  const std::string name = baseName(path);
  const uint64_t size = result.file_.size();
  std::string prefix(std::min<uint64_t>(size, 8), '\0');
  SINTER_RETURN_IF_ERROR(result.file_.read(0, prefix.size(), prefix.data()));
  SINTER_ASSIGN_OR_RETURN(const uint64_t length, headerLength(prefix, size, name));
  prefix.resize(8 + length);
  SINTER_RETURN_IF_ERROR(result.file_.read(0, prefix.size(), prefix.data()));
  SINTER_ASSIGN_OR_RETURN(result.header_, parseSafetensorsHeader(prefix, size, name));
  return result;
}

Status SafetensorsFile::read(const SafetensorsTensor &tensor, uint64_t offset, size_t length,
                             void *dst) const {
  const std::string where = tensorPrefix(header_.fileName, tensor.name);
  if (offset > tensor.bytes() || length > tensor.bytes() - offset)
    return invalidArgument(where + ": read outside the tensor's data");
  return file_.read(tensor.begin + offset, length, dst).withContext(where);
}
