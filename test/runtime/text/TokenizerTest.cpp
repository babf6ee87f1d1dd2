//===- TokenizerTest.cpp - ids and text equal to Hugging Face's -----------===//

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "test/runtime/text/GoldenFiles.h"

using namespace sinter;
using namespace sinter::test;
using Ids = std::vector<int32_t>;

namespace {

/// One case of make_golden.py: [text, ids, ids without special, text, text without special].
void check(const Tokenizer &tokenizer, const nlohmann::json &item) {
  std::string text = item[0];
  SCOPED_TRACE(item[0].dump(-1, ' ', true).substr(0, 200));
  auto either = [&](size_t i, const nlohmann::json &same) { return item[i] == 0 ? same : item[i]; };
  auto ids = tokenizer.encode(text);
  ASSERT_TRUE(ids) << ids.status().message();
  EXPECT_EQ(*ids, item[1].get<Ids>());
  auto plain = tokenizer.encode(text, {.allowSpecial = false});
  ASSERT_TRUE(plain) << plain.status().message();
  EXPECT_EQ(*plain, either(2, item[1]).get<Ids>());
  nlohmann::json decoded = either(3, item[0]);
  EXPECT_EQ(tokenizer.decode(item[1].get<Ids>()), decoded.get<std::string>());
  EXPECT_EQ(tokenizer.decode(item[1].get<Ids>(), /*skipSpecial=*/true),
            either(4, decoded).get<std::string>());
}

TEST(Tokenizer, SmallGoldensInEveryVariant) {
  size_t cases = 0;
  for (const auto &variant : readJson(kHere + "small_golden.json")) {
    SCOPED_TRACE(variant["name"].get<std::string>());
    auto tokenizer = smallTokenizer(variant["patch"]);
    ASSERT_TRUE(tokenizer) << tokenizer.status().message();
    for (const auto &item : variant["cases"]) {
      check(*tokenizer, item);
      ++cases;
    }
  }
  EXPECT_GE(cases, 1000u);
}

TEST(Tokenizer, QwenGoldens) {
  SINTER_SKIP_WITHOUT_QWEN();
  nlohmann::json golden = readJson(kHere + "qwen3_golden.json");
  EXPECT_GE(golden.size(), 400u);
  for (const auto &item : golden)
    check(*qwenTokenizer(), item);
}

TEST(Tokenizer, QwenSharedGoldens) {
  SINTER_SKIP_WITHOUT_QWEN();
  nlohmann::json golden = readJson(kShared + "qwen3-tokenizer/golden.json");
  EXPECT_EQ(golden.size(), 49u);
  for (const auto &item : golden) {
    auto ids = qwenTokenizer()->encode(item["text"].get<std::string>());
    ASSERT_TRUE(ids) << ids.status().message();
    EXPECT_EQ(*ids, item["ids"].get<Ids>()) << item["text"];
    EXPECT_EQ(qwenTokenizer()->decode(*ids), item["decoded"].get<std::string>());
  }
}

/// With a mistake in the rank of one merge, goldens must fail: they would not notice otherwise.
TEST(Tokenizer, GoldensSeeTheOrderOfMerges) {
  nlohmann::json file = readJson(kHere + "small_tokenizer.json");
  auto &merges = file["model"]["merges"];
  std::reverse(merges.begin(), merges.end());
  auto tokenizer = Tokenizer::fromJson(file.dump());
  ASSERT_TRUE(tokenizer) << tokenizer.status().message();
  nlohmann::json cases = readJson(kHere + "small_golden.json")[0]["cases"];
  size_t different = 0;
  for (const auto &item : cases)
    different += *tokenizer->encode(item[0].get<std::string>()) != item[1].get<Ids>();
  EXPECT_GE(different, 20u);
}

TEST(Tokenizer, DescribesItsTokens) {
  auto t = smallTokenizer();
  ASSERT_TRUE(t) << t.status().message();
  nlohmann::json file = readJson(kHere + "small_tokenizer.json");
  EXPECT_EQ(t->vocabSize(), 430);
  int32_t space = file["model"]["vocab"]["Ġthe"], end = *t->idOf("<|end|>");
  EXPECT_EQ(t->idOf("Ġthe"), space);
  EXPECT_EQ(t->tokenBytes(space), " the");
  EXPECT_EQ(t->tokenBytes(*t->idOf("Ċ")), "\n");
  EXPECT_EQ(t->tokenBytes(*t->idOf("Ã")), "\xC3");
  EXPECT_EQ(t->tokenBytes(end), "<|end|>");
  EXPECT_TRUE(t->isSpecial(end));
  EXPECT_FALSE(t->isSpecial(*t->idOf("<think>")));
  EXPECT_FALSE(t->isSpecial(space));
  EXPECT_FALSE(t->isSpecial(-1));
  EXPECT_EQ(t->idOf("no such token"), std::nullopt);
  EXPECT_EQ(t->idOf(" the"), std::nullopt) << "a space is not in the byte-level alphabet";
  for (int32_t unknown : {-1, 430, 1 << 30, INT32_MIN})
    EXPECT_EQ(t->tokenBytes(unknown), "") << unknown;
  EXPECT_EQ(t->decode(Ids{space, 430, -5, space}), " the the");
  EXPECT_EQ(t->decode(Ids{}), "");
}

TEST(Tokenizer, QwenTokens) {
  SINTER_SKIP_WITHOUT_QWEN();
  const Tokenizer &t = *qwenTokenizer();
  EXPECT_EQ(t.vocabSize(), 151669);
  EXPECT_EQ(t.idOf("<|im_end|>"), 151645);
  EXPECT_TRUE(t.isSpecial(151645));
  EXPECT_FALSE(t.isSpecial(*t.idOf("<think>")));
  EXPECT_EQ(*t.encode("<think>"), Ids{151667});
  EXPECT_EQ(t.decode(Ids{151644, 9707, 151645}, true), "Hello");
}

TEST(Tokenizer, InvalidUtf8NamesTheByte) {
  auto t = smallTokenizer();
  ASSERT_TRUE(t) << t.status().message();
  struct {
    std::string text;
    int offset;
  } cases[] = {{"\xFF", 0},
               {"abc\x80", 3},
               {"12345678\xC0\x80", 8},
               {"a\xE2\x82", 1},
               {"\xC3\xA9\xED\xA0\x80", 2},
               {"\xF4\x90\x80\x80", 0},
               {std::string("\0\xC3", 2), 1},
               {"<|end|>\xF0\x9F\x92", 7}};
  for (const auto &c : cases) {
    auto ids = t->encode(c.text);
    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.status().code(), StatusCode::InvalidArgument);
    EXPECT_EQ(ids.status().message(),
              "text is not valid UTF-8 at byte " + std::to_string(c.offset));
  }
}

TEST(Tokenizer, ThreadsShareOneTokenizer) {
  auto t = smallTokenizer();
  ASSERT_TRUE(t) << t.status().message();
  nlohmann::json cases = readJson(kHere + "small_golden.json")[0]["cases"];
  std::vector<std::thread> threads;
  std::array<size_t, 4> wrong{};
  for (size_t k = 0; k < wrong.size(); ++k)
    threads.emplace_back([&, k] {
      for (int round = 0; round < 5; ++round)
        for (const auto &item : cases)
          wrong[k] += *t->encode(item[0].get<std::string>()) != item[1].get<Ids>();
    });
  for (auto &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, (std::array<size_t, 4>{}));
}

double seconds(const std::function<void()> &work) {
  auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// A word of a megabyte would take hours if its merges were searched one by one.
TEST(Tokenizer, LongRunsTakeSeconds) {
  auto t = qwenTokenizer() ? Result<Tokenizer>(*qwenTokenizer()) : smallTokenizer();
  ASSERT_TRUE(t) << t.status().message();
  for (std::string unit : {"a", " ", "\n", "é", "日", "\u0301", "\u0301\u0316", "'", "<", "<|end|>",
                           "ab", "1", "a ", "\n ", "\u180e"}) {
    std::string text;
    while (text.size() < (1u << 20))
      text += unit;
    Ids ids;
    double taken = seconds([&] { ids = *t->encode(text); });
    EXPECT_LT(taken, 10.0) << unit;
    EXPECT_FALSE(ids.empty());
  }
}

/// A floor for optimised builds; the figure is printed in any case.
TEST(Tokenizer, EncodesEnglishAtTwentyMegabytesPerSecond) {
  SINTER_SKIP_WITHOUT_QWEN();
  auto text = readFile(kShared + "tinyshakespeare.txt");
  if (!text)
    GTEST_SKIP() << "no ../shared/data/tinyshakespeare.txt beside the checkout";
  double best = 1e9;
  for (int round = 0; round < 8; ++round)
    best = std::min(best, seconds([&] { ASSERT_TRUE(qwenTokenizer()->encode(*text)); }));
  double rate = static_cast<double>(text->size()) / best / 1e6;
  RecordProperty("megabytes_per_second", std::to_string(rate));
  std::printf("encode: %.1f MB/s\n", rate);
#if !defined(__OPTIMIZE__) || defined(SINTER_SANITIZED)
  GTEST_SKIP() << "not an optimised build";
#endif
  EXPECT_GE(rate, 20.0);
}

} // namespace
