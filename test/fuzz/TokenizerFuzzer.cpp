//===- TokenizerFuzzer.cpp - any bytes as tokenizer.json ------------------===//
#include "runtime/text/StreamDecoder.h"
#include "runtime/text/Tokenizer.h"
#include "runtime/text/Unicode.h"
#include "test/fuzz/FuzzCheck.h"
#include "test/fuzz/JsonMutator.h"

#include <string>
#include <string_view>
#include <vector>

using namespace sinter;

namespace {

/// Pieces joined are the whole, and always valid UTF-8.
void checkText(const Tokenizer &tokenizer, const std::vector<int32_t> &ids, bool skipSpecial) {
  StreamDecoder stream(tokenizer, skipSpecial);
  std::string joined;
  for (int32_t id : ids) {
    const std::string piece = stream.push(id);
    FUZZ_CHECK(!text::findInvalidUtf8(piece));
    joined += piece;
  }
  joined += stream.flush();
  FUZZ_CHECK(joined == tokenizer.decode(ids, skipSpecial));
}

void checkEncode(const Tokenizer &tokenizer, std::string_view text) {
  for (bool allowSpecial : {true, false}) {
    const auto ids = tokenizer.encode(text, {.allowSpecial = allowSpecial});
    if (!ids) {
      fuzz::checkRefusal(ids.status());
      continue;
    }
    for (int32_t id : *ids)
      FUZZ_CHECK(id >= 0 && id < tokenizer.vocabSize());
    checkText(tokenizer, *ids, allowSpecial);
    // The second time words come from the cache.
    FUZZ_CHECK(*tokenizer.encode(text, {.allowSpecial = allowSpecial}) == *ids);
  }
}

} // namespace

SINTER_FUZZ_JSON(0)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char *>(data), size);
  const auto tokenizer = Tokenizer::fromJson(bytes);
  if (!tokenizer) {
    fuzz::checkRefusal(tokenizer.status());
    return 0;
  }
  checkEncode(*tokenizer, "ab  <x> b\xCC\x81"
                          "a'S 12\n\n\xC3\xA9 <y>ab<xy> aaabbb");
  checkEncode(*tokenizer, bytes.substr(0, 512));
  checkText(*tokenizer, {0, 1, tokenizer->vocabSize() - 1, tokenizer->vocabSize(), -1, 2, 3},
            false);
  return 0;
}
