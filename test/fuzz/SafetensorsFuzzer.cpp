//===- SafetensorsFuzzer.cpp - any bytes as a safetensors file ------------===//
//
// An input that starts with '{' is a header text whose last two bytes give the size of the data:
// the length field is made to fit, so that mutations reach the JSON. Any other input is a whole
// file.
//
//===----------------------------------------------------------------------===//
#include "sinter/Support/Safetensors.h"
#include "test/fuzz/FuzzCheck.h"
#include "test/fuzz/JsonMutator.h"

#include <string>

using namespace sinter;

namespace {

void check(const std::string &prefix, uint64_t fileSize) {
  const auto header = parseSafetensorsHeader(prefix, fileSize, "f");
  if (!header)
    return fuzz::checkRefusal(header.status());
  uint64_t next = header->dataBegin;
  for (const SafetensorsTensor &tensor : header->tensors) {
    FUZZ_CHECK(tensor.begin == next && tensor.end >= tensor.begin);
    FUZZ_CHECK(header->find(tensor.name) == &tensor);
    next = tensor.end;
    const auto type = usableDType(tensor, "f");
    if (!type) {
      fuzz::checkRefusal(type.status());
      continue;
    }
    long double bytes = dtypeBytes(*type);
    for (int64_t extent : tensor.shape)
      bytes *= static_cast<long double>(extent); // cannot wrap around
    FUZZ_CHECK(bytes == static_cast<long double>(tensor.bytes()));
  }
  FUZZ_CHECK(next == fileSize);
}

} // namespace

SINTER_FUZZ_JSON(2)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string bytes(reinterpret_cast<const char *>(data), size);
  if (size < 3 || data[0] != '{') {
    check(bytes, size);
    return 0;
  }
  const uint64_t dataBytes = data[size - 2] | uint64_t(data[size - 1]) << 8;
  const uint64_t length = size - 2;
  std::string prefix;
  for (int i = 0; i < 8; ++i)
    prefix += char(length >> (8 * i));
  prefix.append(bytes, 0, length);
  check(prefix, prefix.size() + dataBytes);
  return 0;
}
