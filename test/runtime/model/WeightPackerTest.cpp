//===- WeightPackerTest.cpp -----------------------------------------------===//
#include "runtime/model/WeightPacker.h"

#include <cstring>
#include <gtest/gtest.h>
#include <vector>

namespace sinter {
namespace {

/// Where docs/artifact.md puts element (row, column) of a tile, in elements.
uint64_t placeOf(uint64_t row, uint64_t column, DType dtype) {
  return dtype == DType::BF16 ? (column / 2 * 16 + row) * 2 + column % 2 : column * 16 + row;
}

template <typename Element> void checkTile(uint64_t rows, uint64_t columns, DType dtype) {
  std::vector<Element> source(rows * columns);
  for (size_t i = 0; i < source.size(); ++i)
    source[i] = Element(i + 1);
  const uint64_t count = tileBytes(columns, dtype) / sizeof(Element);
  std::vector<Element> expected(count, 0), tile(count, Element(99));
  for (uint64_t row = 0; row < rows; ++row)
    for (uint64_t column = 0; column < columns; ++column)
      expected[placeOf(row, column, dtype)] = source[row * columns + column];
  packTile(source.data(), rows, columns, dtype, tile.data());
  EXPECT_EQ(tile, expected) << rows << " rows, " << columns << " columns, " << dtypeName(dtype);
}

TEST(WeightPacker, MatchesTheDocumentedLayout) {
  for (uint64_t rows : {1, 5, 15, 16})
    for (uint64_t columns : {1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 257}) {
      checkTile<uint16_t>(rows, columns, DType::BF16);
      checkTile<uint16_t>(rows, columns, DType::F16);
      checkTile<uint32_t>(rows, columns, DType::F32);
    }
}

TEST(WeightPacker, TileSizes) {
  EXPECT_EQ(tileBytes(7, DType::BF16), 16u * 8 * 2);
  EXPECT_EQ(tileBytes(7, DType::F16), 16u * 7 * 2);
  EXPECT_EQ(tileBytes(7, DType::F32), 16u * 7 * 4);
}

} // namespace
} // namespace sinter
