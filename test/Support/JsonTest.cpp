//===- JsonTest.cpp - JSON values and their error messages ----------------===//
#include "sinter/Support/Json.h"

#include <gtest/gtest.h>

using namespace sinter;
using nlohmann::json;

namespace {

std::string parseError(const std::string &text, JsonKeys keys = JsonKeys::LastWins) {
  auto parsed = parseJson(text, "config.json", keys);
  EXPECT_FALSE(parsed.isOk()) << text;
  EXPECT_EQ(parsed.status().code(), StatusCode::InvalidInput);
  EXPECT_EQ(parsed.status().message().find('\n'), std::string::npos);
  return parsed.status().message();
}

template <typename T> std::string errorOf(const Result<T> &result) {
  EXPECT_FALSE(result.isOk());
  return result.status().message();
}

TEST(Json, SyntaxErrorsNameTheByte) {
  EXPECT_EQ(parseError(""),
            "config.json: not valid JSON at byte 0 (line 1): syntax error while "
            "parsing value - unexpected end of input; expected '[', '{', or a literal");
  EXPECT_EQ(parseError("{\n\"a\": x}"),
            "config.json: not valid JSON at byte 7 (line 2): syntax error while parsing value - "
            "invalid literal");
  EXPECT_EQ(parseError("{} {}").substr(0, 43), "config.json: not valid JSON at byte 3 (line");
  EXPECT_EQ(parseError("\"\xff\"").substr(0, 43), "config.json: not valid JSON at byte 1 (line");
}

TEST(Json, NumberOverflowIsAnErrorOfBoundedLength) {
  const std::string message = parseError("[1" + std::string(5000, '0') + "]");
  EXPECT_EQ(message.substr(0, 50), "config.json: not valid JSON: number overflow parsi");
  EXPECT_LT(message.size(), 200u);
}

TEST(Json, DeepNestingIsRefusedBeforeParsing) {
  EXPECT_EQ(parseError(std::string(100000, '[')),
            "config.json: not valid JSON at byte 64 (line 1): nested more than 64 levels deep");
  std::string objects;
  for (int i = 0; i < 100000; ++i)
    objects += "{\"a\":";
  EXPECT_EQ(parseError(objects),
            "config.json: not valid JSON at byte 320 (line 1): nested more than 64 levels deep");
  EXPECT_TRUE(parseJson(std::string(64, '[') + std::string(64, ']'), "x").isOk());
  EXPECT_TRUE(
      parseJson("[\"" + std::string(200, '[') + "\\\"" + std::string(200, '{') + "\"]", "x").isOk())
      << "brackets in strings do not nest";
}

TEST(Json, RepeatedKeys) {
  EXPECT_EQ(parseError(R"({"a": {"k": 1, "k": 2}})", JsonKeys::Unique),
            "config.json: key \"k\" appears twice");
  EXPECT_TRUE(parseJson(R"({"a": {"k": 1}, "b": {"k": 2}, "k": 3})", "x", JsonKeys::Unique).isOk());
  EXPECT_EQ(parseJson(R"({"k": 1, "k": 2})", "x")->at("k"), 2);
}

TEST(Json, IntegerMessages) {
  const json o = json::parse(R"({"s": "x", "neg": -3, "zero": 0, "big": 18446744073709551615,
                                 "f": 1.0, "null": null, "n": 7})");
  const std::string where = "config.json";
  EXPECT_EQ(*getInt(o, "n", where), 7);
  EXPECT_EQ(*getInt(o, "absent", where, 5), 5);
  EXPECT_EQ(*getInt(o, "null", where, 5), 5);
  EXPECT_EQ(errorOf(getInt(o, "absent", where)), "config.json: \"absent\": missing");
  EXPECT_EQ(errorOf(getInt(o, "null", where)), "config.json: \"null\": missing");
  EXPECT_EQ(errorOf(getInt(o, "s", where, {}, kPositive)),
            "config.json: \"s\": expected a positive integer, got \"x\"");
  EXPECT_EQ(errorOf(getInt(o, "zero", where, {}, kPositive)),
            "config.json: \"zero\": expected a positive integer, got 0");
  EXPECT_EQ(errorOf(getInt(o, "neg", where, {}, kNonNegative)),
            "config.json: \"neg\": expected a non-negative integer, got -3");
  EXPECT_EQ(errorOf(getInt(o, "n", where, {}, {1, 6})),
            "config.json: \"n\": expected at most 6, got 7");
  EXPECT_EQ(errorOf(getInt(o, "f", where)), "config.json: \"f\": expected an integer, got 1.0");
  EXPECT_EQ(errorOf(getInt(o, "big", where)),
            "config.json: \"big\": expected an integer, got 18446744073709551615");
  EXPECT_EQ(errorOf(getInt(o, "n", where, {}, {-2, 6})),
            "config.json: \"n\": expected an integer from -2 to 6, got 7");
}

TEST(Json, OtherGetters) {
  const json o = json::parse(R"({"d": 0.5, "i": 3, "b": true, "s": "x", "null": null})");
  EXPECT_EQ(*getDouble(o, "d", "w"), 0.5);
  EXPECT_EQ(*getDouble(o, "i", "w"), 3.0);
  EXPECT_EQ(*getDouble(o, "null", "w", 2.0), 2.0);
  EXPECT_EQ(errorOf(getDouble(o, "b", "w")), "w: \"b\": expected a number, got true");
  EXPECT_EQ(errorOf(getDouble(o, "none", "w")), "w: \"none\": missing");
  EXPECT_EQ(*getBool(o, "b", "w"), true);
  EXPECT_EQ(*getBool(o, "none", "w", true), true);
  EXPECT_EQ(errorOf(getBool(o, "i", "w")), "w: \"i\": expected true or false, got 3");
  EXPECT_EQ(errorOf(getBool(o, "none", "w")), "w: \"none\": missing");
  EXPECT_EQ(*getString(o, "s", "w"), "x");
  EXPECT_EQ(*getString(o, "none", "w", "y"), "y");
  EXPECT_EQ(errorOf(getString(o, "d", "w")), "w: \"d\": expected a string, got 0.5");
  EXPECT_EQ(errorOf(getString(o, "none", "w")), "w: \"none\": missing");
}

TEST(Json, TextInMessagesIsOneShortLine) {
  EXPECT_EQ(quoteForMessage("a\nb\x7f"), "\"a\\x0ab\\x7f\"");
  EXPECT_EQ(quoteForMessage(std::string(500, 'a')).size(), 205u);
  EXPECT_EQ(describeValue(json(std::string(500, 'a'))).size(), 63u);
  EXPECT_EQ(describeValue(json("\n")), "\"\\n\"");
}

} // namespace
