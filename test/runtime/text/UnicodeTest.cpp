//===- UnicodeTest.cpp - UTF-8, classes and NFC ---------------------------===//

#include <utf8proc.h>

#include <gtest/gtest.h>

#include "runtime/text/ByteLevel.h"
#include "runtime/text/Unicode.h"

using namespace sinter::text;

namespace {

std::string utf8(std::initializer_list<char32_t> points) {
  std::string out;
  for (char32_t c : points)
    appendUtf8(out, c);
  return out;
}

TEST(Unicode, RoundTripsEveryCodePoint) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000)
      continue;
    std::string text = utf8({c});
    ASSERT_EQ(findInvalidUtf8(text), std::nullopt) << uint32_t(c);
    ASSERT_EQ(decodeAt(text, 0).value, c);
    ASSERT_EQ(decodeAt(text, 0).bytes, text.size());
    ASSERT_EQ(previousStart("a" + text, 1 + text.size()), 1u);
  }
}

TEST(Unicode, FindsIllFormedUtf8) {
  EXPECT_EQ(findInvalidUtf8("plain ascii, long enough"), std::nullopt);
  for (std::string bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xE2\x28\xA1"})
    for (size_t lead = 0; lead < 10; ++lead)
      EXPECT_EQ(findInvalidUtf8(std::string(lead, 'x') + bad + "12345678"), lead);
}

TEST(Unicode, ReplacesMaximalSubparts) {
  auto lossy = [](std::string_view bytes) {
    std::string out;
    EXPECT_EQ(appendLossy(out, bytes, true), bytes.size());
    return out;
  };
  const std::string r = "\uFFFD";
  EXPECT_EQ(lossy("a\xE2\x82z"), "a" + r + "z");
  EXPECT_EQ(lossy("\xE2\x82"), r);
  EXPECT_EQ(lossy("\xF0\x9F\x98"), r);
  EXPECT_EQ(lossy("\xC0\x80"), r + r);
  EXPECT_EQ(lossy("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(lossy("\xF0\x80\x80\x41"), r + r + r + "A");
  EXPECT_EQ(lossy("\xF0\x9F\xE2\x82\xAC"), r + "€");
  std::string out;
  EXPECT_EQ(appendLossy(out, "ab\xE2\x82", false), 2u);
  EXPECT_EQ(out, "ab");
}

TEST(Unicode, ClassesAreThoseOfHuggingFace) {
  EXPECT_TRUE(classOf('a').isLetter() && classOf(0x4E00).isLetter() && classOf(0x31350).isLetter());
  EXPECT_TRUE(classOf(0xB2).isNumber() && classOf(0x2167).isNumber() && classOf('7').isNumber());
  for (char32_t c : {0x09, 0x0B, 0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x202F, 0x3000})
    EXPECT_TRUE(classOf(c).isSpace()) << uint32_t(c);
  for (char32_t c : {0x08, 0x1C, 0x1F, 0x180E, 0x200B, 0xFEFF})
    EXPECT_FALSE(classOf(c).isSpace()) << uint32_t(c);
  EXPECT_EQ(classOf(0x10FFFF).category(), Category::Cn);
  EXPECT_EQ(classOf(0xE000).category(), Category::Co);
}

/// The table must agree with utf8proc wherever that knows the character: categories of assigned
/// characters hardly ever change.
TEST(Unicode, TableAgreesWithUtf8proc) {
  size_t different = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    std::string theirs = utf8proc_category_string(static_cast<utf8proc_int32_t>(c));
    constexpr std::string_view kNames =
        "CnLuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCoCs";
    size_t i = static_cast<size_t>(classOf(c).category());
    different += theirs != "Cn" && theirs != kNames.substr(2 * i, 2);
  }
  EXPECT_LE(different, 20u);
}

TEST(Unicode, ComposesLikeHuggingFace) {
  auto composed = [](std::string text) { return nfc(text).value_or(text); };
  EXPECT_EQ(nfc("plain"), std::nullopt);
  EXPECT_EQ(nfc("é 日本 한"), std::nullopt);
  EXPECT_EQ(composed("e\u0301"), "é");
  EXPECT_EQ(composed("xe\u0301y"), "xéy");
  EXPECT_EQ(composed("a\u0301\u0316"), "\u00E1\u0316");
  EXPECT_EQ(composed("\u00E1\u0316"), "\u00E1\u0316");
  EXPECT_EQ(composed("a\u0345\u0301\u0316z"), "\u00E1\u0316\u0345z");
  EXPECT_EQ(composed("\u1100\u1161\u11A8"), "각");
  EXPECT_EQ(composed("\u2126\u212B"), "ΩÅ");
  EXPECT_EQ(composed("\u0344"), "\u0308\u0301");
  EXPECT_EQ(composed("\u0958"), "\u0915\u093C");
  // Newer than Hugging Face's normaliser: neither moves nor composes, and parts what is around it.
  EXPECT_EQ(nfc(utf8({'a', 0x345, 0x898})), std::nullopt);
  EXPECT_EQ(nfc(utf8({0x11935, 0x11930})), std::nullopt);
  EXPECT_EQ(nfc(utf8({'e', 0x898, 0x301})), std::nullopt);
}

/// Against utf8proc on whole strings of characters that both know: cutting the text into runs must
/// not change the result.
TEST(Unicode, NfcOfRunsIsNfcOfTheWhole) {
  std::vector<char32_t> pool = {'a',    'e',    'z',   ' ',   0xE9,  0x1E69, 0x4E00, 0x300,
                                0x301,  0x308,  0x316, 0x323, 0x334, 0x345,  0x1100, 0x1161,
                                0x11A8, 0xAC00, 0x9C7, 0x9BE, 0x958, 0x2126};
  uint64_t state = 42;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint64_t i = 0, n = state >> 60; i <= n; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      appendUtf8(text, pool[(state >> 33) % pool.size()]);
    }
    auto *whole = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t *>(text.c_str()));
    ASSERT_EQ(nfc(text).value_or(text), reinterpret_cast<char *>(whole));
    free(whole);
  }
}

TEST(ByteLevel, IsABijection) {
  for (unsigned b = 0; b < 256; ++b) {
    std::string token = utf8({byteLevelAlphabet()[b]});
    ASSERT_EQ(fromByteLevel(token), std::string(1, static_cast<char>(b)));
  }
  EXPECT_EQ(fromByteLevel("Ġthe"), " the");
  EXPECT_EQ(fromByteLevel(" the"), std::nullopt);
  EXPECT_EQ(fromByteLevel("日"), std::nullopt);
  EXPECT_EQ(fromByteLevel("\u0144"), std::nullopt);
}

} // namespace
