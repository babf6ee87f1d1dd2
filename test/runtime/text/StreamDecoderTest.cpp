//===- StreamDecoderTest.cpp - pieces joined equal the whole --------------===//

#include <random>

#include "runtime/text/StreamDecoder.h"
#include "runtime/text/Unicode.h"
#include "test/runtime/text/GoldenFiles.h"

using namespace sinter;
using namespace sinter::test;

namespace {

/// Streams `ids` and compares with decode(); every piece must be valid UTF-8.
void checkStream(const Tokenizer &tokenizer, const std::vector<int32_t> &ids, bool skipSpecial) {
  StreamDecoder stream(tokenizer, skipSpecial);
  std::string joined;
  for (int32_t id : ids) {
    std::string piece = stream.push(id);
    ASSERT_EQ(text::findInvalidUtf8(piece), std::nullopt);
    joined += piece;
  }
  joined += stream.flush();
  ASSERT_EQ(joined, tokenizer.decode(ids, skipSpecial));
  ASSERT_EQ(stream.flush(), "") << "flush starts afresh";
}

TEST(StreamDecoder, HoldsBackUntilACodePointIsWhole) {
  auto t = smallTokenizer();
  ASSERT_TRUE(t) << t.status().message();
  StreamDecoder stream(*t);
  auto byte = [&](unsigned char b) {
    for (int32_t id = 0; id < t->vocabSize(); ++id)
      if (t->tokenBytes(id) == std::string_view(reinterpret_cast<char *>(&b), 1))
        return id;
    return -1;
  };
  EXPECT_EQ(stream.push(byte(0xF0)), "");
  EXPECT_EQ(stream.push(byte(0x9F)), "");
  EXPECT_EQ(stream.push(byte(0x98)), "");
  EXPECT_EQ(stream.push(byte(0x80)), "😀");
  EXPECT_EQ(stream.push(byte('x')), "x");
  EXPECT_EQ(stream.push(byte(0xE2)), "");
  EXPECT_EQ(stream.push(byte('y')), "\uFFFDy");
  EXPECT_EQ(stream.push(byte(0x80)), "\uFFFD");
  EXPECT_EQ(stream.push(byte(0xE2)), "");
  EXPECT_EQ(stream.push(-1), "");
  EXPECT_EQ(stream.flush(), "\uFFFD");
}

TEST(StreamDecoder, RandomIdsMatchDecode) {
  auto small = smallTokenizer();
  ASSERT_TRUE(small) << small.status().message();
  std::mt19937 random(11);
  for (int round = 0; round < 4000; ++round) {
    // Mostly single bytes, which break code points in all ways, and ids that do not exist.
    std::vector<int32_t> ids(random() % 40);
    for (int32_t &id : ids)
      id = static_cast<int32_t>(random() % (round % 2 ? 256 : 440));
    checkStream(*small, ids, round % 3 == 0);
  }
}

TEST(StreamDecoder, GoldenIdsMatchDecode) {
  SINTER_SKIP_WITHOUT_QWEN();
  std::mt19937 random(12);
  for (const auto &item : readJson(kHere + "qwen3_golden.json")) {
    auto ids = item[1].get<std::vector<int32_t>>();
    checkStream(*qwenTokenizer(), ids, false);
    std::shuffle(ids.begin(), ids.end(), random);
    checkStream(*qwenTokenizer(), ids, true);
  }
}

} // namespace
