//===- TunedTableTest.cpp - shapes, choices and tables as text ------------===//
#include "lib/Codegen/Gpu/TunedTable.h"
#include "lib/Codegen/Gpu/Tuning.h"

#include <gtest/gtest.h>

namespace sinter::gpu {
namespace {

TEST(TunedTable, NamesShapes) {
  LinearSpec spec;
  spec.n = 4096, spec.k = 1024, spec.maxTokens = 32;
  EXPECT_EQ(shapeText(spec), "4096x1024 m32 bf16");
  spec.norm = spec.xg = spec.rows = true;
  spec.epilogue = LinearSpec::Swiglu;
  spec.sumsIn = 16;
  EXPECT_EQ(shapeText(spec), "4096x1024 m32 bf16 norm xg swiglu rows");
  spec.y = DType::F32;
  EXPECT_EQ(shapeText(spec), "4096x1024 m32 bf16 bf16 f32 norm xg swiglu rows");
}

TEST(TunedTable, ReadsWhatItWrites) {
  LinearTuning tuning;
  tuning.kind = LinearTuning::WgmmaSkinny;
  tuning.rows = 64, tuning.splits = 2, tuning.announce = 3;
  EXPECT_EQ(kernelText(tuning), "wgmma_skinny rows=64 splits=2 announce=3");
  LinearTuning read;
  std::string why;
  ASSERT_TRUE(parseKernelText(kernelText(tuning), read, why)) << why;
  EXPECT_EQ(kernelText(read), kernelText(tuning));
  for (const char *wrong : {"", "auto", "gemv rows", "gemv rows=", "gemv rows=0", "gemv  rows=1",
                            "gemv rows=1x", "gemv rows=99999999", "gemv stress=1"})
    EXPECT_FALSE(parseKernelText(wrong, read, why)) << wrong;
}

TEST(TunedTable, TheBuiltInOneParses) {
  EXPECT_TRUE(TunedTable::builtin("sm_90a"));
  EXPECT_FALSE(TunedTable::builtin("sm_90"));
}

TEST(TunedTable, FindsRows) {
  const auto table = TunedTable::parse(
      R"({"format": "sinter-tuned", "version": 1, "chip": "sm_90a",
          "linears": [{"shape": "64x32 m8 bf16", "kernel": "gemv rows=2", "us": 2}],
          "fusions": [{"pass": "p", "shape": "64x32", "tokens": 8, "us": 2, "apart_us": 3},
                      {"pass": "p", "shape": "64x32", "tokens": 128, "us": 5, "apart_us": 4}]})",
      "t", "sm_90a");
  ASSERT_TRUE(table) << table.status().message();
  LinearSpec spec;
  spec.n = 64, spec.k = 32, spec.maxTokens = 8;
  ASSERT_TRUE((*table)->find(spec));
  EXPECT_EQ((*table)->find(spec)->tuning.rows, 2);
  spec.residual = true;
  EXPECT_FALSE((*table)->find(spec));
  EXPECT_EQ((*table)->fusion("p", "64x32", 1)->first, 8);
  EXPECT_EQ((*table)->fusion("p", "64x32", 9)->first, 128);
  EXPECT_EQ((*table)->fusion("p", "64x32", 4096)->first, 128);
  EXPECT_FALSE((*table)->fusion("p", "64x64", 1));
  EXPECT_FALSE((*table)->fusion("q", "64x32", 1));
}

} // namespace
} // namespace sinter::gpu
