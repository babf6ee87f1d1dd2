//===- Npy.cpp - two-dimensional arrays in NumPy's .npy format ------------===//
#include "sinter/Support/Npy.h"

#include "sinter/Support/Half.h"
#include "sinter/Support/MappedFile.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

using namespace sinter;

namespace {

/// Fixed, so that the header can be written again once the row count is known.
constexpr size_t kHeaderBytes = 128;
constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);

std::string makeHeader(size_t rows, size_t columns) {
  std::string out(kMagic);
  out += char((kHeaderBytes - 10) & 0xff);
  out += char((kHeaderBytes - 10) >> 8);
  out += "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
         std::to_string(columns) + "), }";
  out.resize(kHeaderBytes - 1, ' ');
  return out + '\n';
}

/// The text after `'key':` in the header's dictionary, leading spaces dropped.
std::optional<std::string_view> dictValue(std::string_view dict, std::string_view key) {
  const size_t at = dict.find("'" + std::string(key) + "':");
  if (at == std::string_view::npos)
    return std::nullopt;
  dict.remove_prefix(at + key.size() + 3);
  dict.remove_prefix(std::min(dict.find_first_not_of(' '), dict.size()));
  return dict;
}

std::optional<std::vector<size_t>> parseShape(std::string_view text) {
  if (text.empty() || text[0] != '(' || text.find(')') == std::string_view::npos)
    return std::nullopt;
  std::string list(text.substr(1, text.find(')') - 1));
  std::vector<size_t> shape;
  for (const char *p = list.c_str(); *p;) {
    if (*p == ' ' || *p == ',') {
      ++p;
      continue;
    }
    if (!std::isdigit(static_cast<unsigned char>(*p)))
      return std::nullopt;
    char *end = nullptr;
    shape.push_back(std::strtoull(p, &end, 10));
    p = end;
  }
  return shape;
}

} // namespace

Result<NpyWriter> NpyWriter::create(const std::string &path, size_t columns) {
  SINTER_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  const std::string header = makeHeader(0, columns);
  SINTER_RETURN_IF_ERROR(file.write(header.data(), header.size()));
  return NpyWriter(std::move(file), columns);
}

Status NpyWriter::append(const float *data, size_t rows) {
  SINTER_RETURN_IF_ERROR(file_.write(data, rows * columns_ * sizeof(float)));
  rows_ += rows;
  return Status::ok();
}

Status NpyWriter::close() {
  const std::string header = makeHeader(rows_, columns_);
  SINTER_RETURN_IF_ERROR(file_.writeAt(0, header.data(), header.size()));
  return file_.close();
}

Result<NpyArray> sinter::readNpy(const std::string &path) {
  SINTER_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  std::string text(file.size(), '\0');
  SINTER_RETURN_IF_ERROR(file.read(0, text.size(), text.data()));
  if (text.size() < 10 || std::string_view(text).substr(0, 8) != kMagic)
    return invalidInput(path + ": not a version 1.0 .npy file");
  const size_t begin = 10 + (uint8_t(text[8]) | size_t(uint8_t(text[9])) << 8);
  if (begin > text.size())
    return invalidInput(path + ": truncated header");
  const std::string_view dict = std::string_view(text).substr(10, begin - 10);
  const auto descr = dictValue(dict, "descr");
  const auto order = dictValue(dict, "fortran_order");
  const auto shapeText = dictValue(dict, "shape");
  const auto shape = shapeText ? parseShape(*shapeText) : std::nullopt;
  if (!descr || !order || !shape)
    return invalidInput(path + ": malformed .npy header");
  if (order->substr(0, 5) != "False")
    return unsupported(path + ": only C order is read");
  const bool wide = descr->substr(0, 5) == "'<f4'";
  if (!wide && descr->substr(0, 5) != "'<f2'")
    return unsupported(path + ": only <f4 and <f2 arrays are read");

  size_t count = 1;
  for (size_t extent : *shape)
    if (__builtin_mul_overflow(count, extent, &count))
      return invalidInput(path + ": shape is too large");
  const size_t width = wide ? 4 : 2;
  if ((text.size() - begin) % width != 0 || (text.size() - begin) / width != count)
    return invalidInput(path + ": has " + std::to_string(text.size() - begin) +
                        " bytes of data, its shape needs " + std::to_string(count) + " elements");
  NpyArray array{*shape, std::vector<float>(count)};
  if (wide && count != 0)
    std::memcpy(array.data.data(), text.data() + begin, count * 4);
  for (size_t i = 0; !wide && i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, text.data() + begin + 2 * i, 2);
    array.data[i] = f16ToF32(half);
  }
  return array;
}
