//===- KNormTest.cpp - K-norm weights that would overflow a cache ---------===//
#include "test/golden/GoldenModel.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace sinter;
using namespace sinter::golden;

namespace {

TEST(KNorm, Times96InF32) {
  // The general suite asks 1e-4 of this checkpoint too; this is the bar that names it.
  Golden golden = readTinyGolden("knorm96");
  std::string directory = tinyDirectory("knorm96");
  GoldenModel model(compile(directory, "--dtype f32"), directory);
  EXPECT_LE(relativeL2(model.run(golden.ids), golden.f32), 1e-3);
}

TEST(KNorm, SixtyThousandIsFiniteInF16) {
  Golden golden = readTinyGolden("knorm6e4");
  std::string directory = tinyDirectory("knorm6e4");
  GoldenModel model(compile(directory, "--dtype f16"), directory);
  Logits logits = model.run(golden.ids);
  for (float v : logits)
    ASSERT_TRUE(std::isfinite(v));
}

TEST(KNorm, WithoutTheScaleF16Overflows) {
  Golden golden = readTinyGolden("knorm6e4");
  std::string directory = tinyDirectory("knorm6e4");
  GoldenModel model(compile(directory, "--dtype f16 --no-k-scale"), directory);
  size_t bad = 0;
  for (float v : model.run(golden.ids))
    bad += !std::isfinite(v);
  EXPECT_GT(bad, 0u) << "the K scale would not be needed";
}

} // namespace
