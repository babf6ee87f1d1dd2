//===- ErrorTest.cpp - what the CPU target refuses ------------------------===//
#include "Jit.h"
#include "ModuleText.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

using namespace sinter;
using namespace sinter::test;
using testing::HasSubstr;

namespace {

ModuleText attention(const std::string &kv) {
  ModuleText m(4);
  m.input("q", {2, 64}, DType::BF16);
  m.argument("%batch: !xfmr.batch");
  m.argument("%kv: " + kv);
  m.body = "%y = xfmr.attention %q, %kv, %batch {" + m.buffers({0}) +
           ", scale = 1.0 : f32} : (tensor<?x2x64xbf16>, " + kv +
           ", !xfmr.batch) -> tensor<?x2x64xbf16>";
  m.returned = "%kv";
  m.returnedTypes = kv;
  return m;
}

TEST(Errors, CacheLayoutsWithoutKernels) {
  EXPECT_THAT(conversionError(attention("!xfmr.kv<2, 16, 64, bf16, token_major>").text()),
              HasSubstr("the cpu target has kernels for k_packed only"));
  EXPECT_THAT(conversionError(attention("!xfmr.kv<2, 8, 64, bf16, k_packed>").text()),
              HasSubstr("needs pages of a multiple of 16 tokens"));
  EXPECT_EQ(conversionError(attention("!xfmr.kv<2, 16, 64, bf16, k_packed>").text()), "");
}

TEST(Errors, Collectives) {
  ModuleText m(4);
  m.input("x", {8}, DType::F32);
  m.body = "%y = xfmr.all_reduce %x {ranks = 2 : i64, " + m.buffers({0}) + "} : tensor<?x8xf32>";
  EXPECT_THAT(conversionError(m.text()),
              HasSubstr("'xfmr.all_reduce' op is not executed on the cpu"));
}

std::string linear(const std::string &layout, const std::string &buffers) {
  ModuleText m(4);
  m.input("x", {8}, DType::F32);
  m.weight("w", "tensor<5x8xf32>", "[#xfmr.source<\"w\", 0, 5>]", layout);
  m.body = "%y = xfmr.linear %x, %w " + buffers +
           " : (tensor<?x8xf32>, tensor<5x8xf32>) -> tensor<?x5xf32>";
  return m.text();
}

TEST(Errors, ModulesThatAreNotPlanned) {
  EXPECT_THAT(conversionError(linear("plain", "{xfmr.buffers = array<i64: 256>}")),
              HasSubstr("needs @w in layout tiled16"));
  EXPECT_THAT(conversionError(linear("tiled16", "")), HasSubstr("the module is not planned"));
  EXPECT_THAT(conversionError(linear("tiled16", "{xfmr.buffers = array<i64: -1>}")),
              HasSubstr("result 0 has no buffer"));
  EXPECT_EQ(conversionError(linear("tiled16", "{xfmr.buffers = array<i64: 256>}")), "");
}

TEST(Errors, GateAndUpInOneTile) {
  ModuleText m(4);
  m.input("x", {8}, DType::F32);
  m.vector("g", 8);
  m.weight("w", "tensor<14x8xf32>", "[#xfmr.source<\"w\", 0, 14>]", "tiled16");
  m.body = "%y = xfmr.rms_norm_swiglu %x, %g, %w {eps = 1.0e-6 : f32, " + m.buffers({256}) +
           "} : (tensor<?x8xf32>, tensor<8xf32>, tensor<14x8xf32>) -> tensor<?x7xf32>";
  EXPECT_THAT(conversionError(m.text()), HasSubstr("do not start at tiles of the weight"));
}

} // namespace
