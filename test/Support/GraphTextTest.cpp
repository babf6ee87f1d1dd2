//===- GraphTextTest.cpp - graphs as text, before they are parsed ---------===//
#include "sinter/Support/GraphText.h"

#include "test/Support/TempDir.h"

#include <gtest/gtest.h>

using namespace sinter;
using sinter::testing::TempDir;

namespace {

std::string repeat(const std::string &piece, int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += piece;
  return text;
}

TEST(GraphText, RefusesWhatWouldOverflowTheParser) {
  TempDir dir;
  const std::string path = dir.write("deep.mlir", "\n" + repeat("module {", 257));
  EXPECT_EQ(readGraphFile(path).status().message(),
            path + ":2: brackets are nested more than 256 deep");
  EXPECT_FALSE(readGraphFile(dir.write("type.mlir", repeat("tuple<", 9000))).isOk());
}

TEST(GraphText, CountsOnlyBracketsThatNest) {
  TempDir dir;
  for (const std::string &text :
       {repeat("module {", 256), repeat("(a) -> [b]\n", 1000), repeat("tensor<4xf32> {}", 1000),
        "\"" + repeat("(\\\"", 1000) + "\"", "// " + repeat("{", 1000) + "\n"}) {
    auto read = readGraphFile(dir.write("a.mlir", text));
    ASSERT_TRUE(read.isOk()) << read.status().message();
    EXPECT_EQ(*read, text);
  }
}

} // namespace
