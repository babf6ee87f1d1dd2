//===- DenseOpsTest.cpp - dense ops against values worked out by hand -----===//
#include "Graph.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <cmath>

using namespace sinter;
using namespace sinter::interp;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pointwise;

namespace {

constexpr Mode kExact{0}, kDeclared{1};
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Any batch that is legal for functions without a cache.
Batch someBatch(int64_t tokens = 1) { return oneSequence(tokens, 16); }

std::vector<Tensor> run(const std::string &text, std::vector<Tensor> arguments, Mode mode = kExact,
                        std::map<std::string, Tensor> weights = {}) {
  GraphCall call;
  call.arguments = std::move(arguments);
  call.weights = std::move(weights);
  call.batch = someBatch();
  auto results = runGraph(text, mode, call);
  EXPECT_TRUE(results.isOk()) << results.status().message();
  return results ? *results : std::vector<Tensor>(2);
}

MATCHER_P(IsNear, want, "") {
  return testing::ExplainMatchResult(Pointwise(DoubleNear(1e-12), std::vector<double>(want)), arg,
                                     result_listener);
}
testing::Matcher<std::vector<double>> near(std::vector<double> want) { return IsNear(want); }

TEST(DenseOps, Embedding) {
  const auto y = run(R"(func.func @f(%t: tensor<3xi32>, %w: tensor<2x2xf32>) -> tensor<3x2xf32> {
    %0 = xfmr.embedding %t, %w : (tensor<3xi32>, tensor<2x2xf32>) -> tensor<3x2xf32>
    return %0 : tensor<3x2xf32> })",
                     {Tensor({3}, {1, 0, 1}), Tensor({2, 2}, {1, 2, 3, 4})});
  EXPECT_THAT(y[0].data, ElementsAre(3, 4, 1, 2, 3, 4));
}

TEST(DenseOps, RmsNormOfThreeAndFour) {
  // mean(x^2) = 12.5, + 3.5 = 16, so x / 4 * gamma.
  const std::string text = R"(func.func @f(%x: tensor<1x2xf32>, %g: tensor<2xf32>)
      -> tensor<1x2xf32> {
    %0 = xfmr.rms_norm %x, %g {eps = 3.5 : f32}
      : (tensor<1x2xf32>, tensor<2xf32>) -> tensor<1x2xf32>
    return %0 : tensor<1x2xf32> })";
  EXPECT_THAT(run(text, {Tensor({1, 2}, {3, 4}), Tensor({2}, {1, -2})})[0].data, near({0.75, -2}));
}

TEST(DenseOps, RmsNormOfHeadsTakesEachHeadAlone) {
  const std::string text = R"(func.func @f(%x: tensor<1x2x2xf32>, %g: tensor<2xf32>)
      -> tensor<1x2x2xf32> {
    %0 = xfmr.rms_norm %x, %g {eps = 0.0 : f32}
      : (tensor<1x2x2xf32>, tensor<2xf32>) -> tensor<1x2x2xf32>
    return %0 : tensor<1x2x2xf32> })";
  const double root = std::sqrt(2.0);
  EXPECT_THAT(run(text, {Tensor({1, 2, 2}, {5, 0, 0, 7}), Tensor({2}, {1, 3})})[0].data,
              near({root, 0, 0, 3 * root}));
}

TEST(DenseOps, LinearWithBias) {
  const std::string text = R"(
    func.func @f(%x: tensor<2x3xf32>, %w: tensor<2x3xf32>, %b: tensor<2xf32>) -> tensor<2x2xf32> {
      %0 = xfmr.linear %x, %w bias %b
        : (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x2xf32>
      return %0 : tensor<2x2xf32> })";
  const auto y = run(text, {Tensor({2, 3}, {1, 2, 3, 0, 1, 0}), Tensor({2, 3}, {1, 0, -1, 2, 5, 1}),
                            Tensor({2}, {10, 20})});
  EXPECT_THAT(y[0].data, ElementsAre(8, 35, 10, 25));
}

/// 1 + 2^-8 lies between the bf16 neighbours 1 and 1 + 2^-7, and ties go to 1.
TEST(DenseOps, LinearRoundsOnceInDeclaredModeOnly) {
  const std::string text = R"(
    func.func @f(%x: tensor<1x2xbf16>, %w: tensor<1x2xbf16>, %r: tensor<1x1xbf16>)
        -> (tensor<1x1xbf16>, tensor<1x1xbf16>, tensor<1x1xf32>) {
      %0 = xfmr.linear %x, %w : (tensor<1x2xbf16>, tensor<1x2xbf16>) -> tensor<1x1xbf16>
      %1 = xfmr.add %0, %r : tensor<1x1xbf16>
      %2 = xfmr.linear_add %x, %w, %r
        : (tensor<1x2xbf16>, tensor<1x2xbf16>, tensor<1x1xbf16>) -> tensor<1x1xbf16>
      %3 = xfmr.linear %x, %w : (tensor<1x2xbf16>, tensor<1x2xbf16>) -> tensor<1x1xf32>
      return %1, %2, %3 : tensor<1x1xbf16>, tensor<1x1xbf16>, tensor<1x1xf32> })";
  const double tiny = 0x1p-8;
  const std::vector<Tensor> arguments = {Tensor({1, 2}, {1, tiny}), Tensor({1, 2}, {1, 1}),
                                         Tensor({1, 1}, {tiny})};
  auto y = run(text, arguments, kExact);
  EXPECT_EQ(y[0].data[0], 1 + 2 * tiny);
  EXPECT_EQ(y[1].data[0], 1 + 2 * tiny);
  EXPECT_EQ(y[2].data[0], 1 + tiny);
  y = run(text, arguments, kDeclared);
  EXPECT_EQ(y[0].data[0], 1) << "add(linear) rounds twice";
  EXPECT_EQ(y[1].data[0], 1 + 2 * tiny) << "linear_add rounds once";
  EXPECT_EQ(y[2].data[0], 1 + tiny) << "an f32 result keeps what bf16 loses";
}

TEST(DenseOps, SwigluOfTwoAndOfOne) {
  const std::string text = R"(
    func.func @f(%g: tensor<1x2xf32>, %u: tensor<1x2xf32>, %gu: tensor<1x4xf32>)
        -> (tensor<1x2xf32>, tensor<1x2xf32>) {
      %0 = xfmr.swiglu %g, %u : (tensor<1x2xf32>, tensor<1x2xf32>) -> tensor<1x2xf32>
      %1 = xfmr.swiglu %gu : (tensor<1x4xf32>) -> tensor<1x2xf32>
      return %0, %1 : tensor<1x2xf32>, tensor<1x2xf32> })";
  // silu(ln 3) = ln 3 * 3/4, silu(-ln 3) = -ln 3 / 4.
  const double l = std::log(3.0);
  const auto y =
      run(text, {Tensor({1, 2}, {l, -l}), Tensor({1, 2}, {4, 8}), Tensor({1, 4}, {l, -l, 4, 8})});
  EXPECT_THAT(y[0].data, near({3 * l, -2 * l}));
  EXPECT_THAT(y[1].data, near({3 * l, -2 * l}));
}

TEST(DenseOps, SplitHeadsTakesColumnsFromAnOffset) {
  const auto y = run(R"(func.func @f(%x: tensor<2x6xf32>) -> (tensor<2x2x2xf32>, tensor<2x4xf32>) {
    %0 = xfmr.split_heads %x {offset = 2 : i64} : (tensor<2x6xf32>) -> tensor<2x2x2xf32>
    %1 = xfmr.merge_heads %0 : (tensor<2x2x2xf32>) -> tensor<2x4xf32>
    return %0, %1 : tensor<2x2x2xf32>, tensor<2x4xf32> })",
                     {Tensor({2, 6}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})});
  EXPECT_THAT(y[0].shape, ElementsAre(2, 2, 2));
  EXPECT_THAT(y[0].data, ElementsAre(2, 3, 4, 5, 8, 9, 10, 11));
  EXPECT_EQ(y[1].data, y[0].data);
}

TEST(DenseOps, SelectRows) {
  const auto y = run(R"(func.func @f(%x: tensor<3x2xf32>, %r: tensor<?xi32>) -> tensor<?x2xf32> {
    %0 = xfmr.select_rows %x, %r : (tensor<3x2xf32>, tensor<?xi32>) -> tensor<?x2xf32>
    return %0 : tensor<?x2xf32> })",
                     {Tensor({3, 2}, {0, 1, 2, 3, 4, 5}), Tensor({2}, {2, 0})});
  EXPECT_THAT(y[0].data, ElementsAre(4, 5, 0, 1));
}

TEST(DenseOps, ArgmaxTakesTheLowestOfEqualsAndTheFirstNaN) {
  const auto y = run(R"(func.func @f(%x: tensor<4x3xf32>) -> (tensor<4xf32>, tensor<4xi32>) {
    %0, %1 = xfmr.argmax %x : (tensor<4x3xf32>) -> (tensor<4xf32>, tensor<4xi32>)
    return %0, %1 : tensor<4xf32>, tensor<4xi32> })",
                     {Tensor({4, 3}, {1, 5, 5, -3, -2, -9, 7, kNaN, kNaN, kNaN, 1, 9})});
  EXPECT_THAT(y[1].data, ElementsAre(1, 1, 1, 0));
  EXPECT_EQ(y[0].data[0], 5);
  EXPECT_EQ(y[0].data[1], -2);
  EXPECT_TRUE(std::isnan(y[0].data[2]) && std::isnan(y[0].data[3]));
}

//===----------------------------------------------------------------------===//
// Fused ops
//===----------------------------------------------------------------------===//

TEST(FusedOps, RmsNormLinearScalesTheProductButNotTheBias) {
  // rstd = 1/4 as above: (3*1*2 + 4*(-2)*1) / 4 + 100.
  const auto y = run(
      R"(
    func.func @f(%x: tensor<1x2xf32>, %g: tensor<2xf32>, %w: tensor<1x2xf32>, %b: tensor<1xf32>)
        -> tensor<1x1xf32> {
      %0 = xfmr.rms_norm_linear %x, %g, %w bias %b {eps = 3.5 : f32}
        : (tensor<1x2xf32>, tensor<2xf32>, tensor<1x2xf32>, tensor<1xf32>) -> tensor<1x1xf32>
      return %0 : tensor<1x1xf32> })",
      {Tensor({1, 2}, {3, 4}), Tensor({2}, {1, -2}), Tensor({1, 2}, {2, 1}), Tensor({1}, {100})});
  EXPECT_THAT(y[0].data, near({99.5}));
}

TEST(FusedOps, RmsNormSwigluHasGateRowsFirst) {
  // Normalised row (0.75, -2); gate row (1, 0), up row (0, 1), bias (0, 10).
  const auto y = run(R"(
    func.func @f(%x: tensor<1x2xf32>, %g: tensor<2xf32>, %w: tensor<2x2xf32>, %b: tensor<2xf32>)
        -> tensor<1x1xf32> {
      %0 = xfmr.rms_norm_swiglu %x, %g, %w bias %b {eps = 3.5 : f32}
        : (tensor<1x2xf32>, tensor<2xf32>, tensor<2x2xf32>, tensor<2xf32>) -> tensor<1x1xf32>
      return %0 : tensor<1x1xf32> })",
                     {Tensor({1, 2}, {3, 4}), Tensor({2}, {1, -2}), Tensor({2, 2}, {1, 0, 0, 1}),
                      Tensor({2}, {0, 10})});
  EXPECT_THAT(y[0].data, near({0.75 / (1 + std::exp(-0.75)) * 8}));
}

TEST(FusedOps, AddRmsNormNormalisesTheRoundedSum) {
  // 256 + 1 is 256 in bf16, so in declared mode both elements are equal and y is exactly 1.
  const std::string text = R"(
    func.func @f(%a: tensor<1x2xbf16>, %b: tensor<1x2xbf16>, %g: tensor<2xf32>)
        -> (tensor<1x2xbf16>, tensor<1x2xbf16>) {
      %s, %y = xfmr.add_rms_norm %a, %b, %g {eps = 0.0 : f32}
        : (tensor<1x2xbf16>, tensor<1x2xbf16>, tensor<2xf32>)
          -> (tensor<1x2xbf16>, tensor<1x2xbf16>)
      return %s, %y : tensor<1x2xbf16>, tensor<1x2xbf16> })";
  const std::vector<Tensor> arguments = {Tensor({1, 2}, {256, 256}), Tensor({1, 2}, {1, 0}),
                                         Tensor({2}, {1, 1})};
  auto y = run(text, arguments, kDeclared);
  EXPECT_THAT(y[0].data, ElementsAre(256, 256));
  EXPECT_THAT(y[1].data, ElementsAre(1, 1));
  y = run(text, arguments, kExact);
  EXPECT_THAT(y[0].data, ElementsAre(257, 256));
  const double rms = std::sqrt((257. * 257 + 256. * 256) / 2);
  EXPECT_THAT(y[1].data, near({257 / rms, 256 / rms}));
}

TEST(FusedOps, LinearArgmaxTiesInF32) {
  // 1 and 1 + 2^-30 differ in f64 and tie in f32.
  const std::string text = R"(
    func.func @f(%x: tensor<1x2xf32>, %w: tensor<2x2xf32>) -> (tensor<1xf32>, tensor<1xi32>) {
      %v, %i = xfmr.linear_argmax %x, %w
        : (tensor<1x2xf32>, tensor<2x2xf32>) -> (tensor<1xf32>, tensor<1xi32>)
      return %v, %i : tensor<1xf32>, tensor<1xi32> })";
  const std::vector<Tensor> arguments = {Tensor({1, 2}, {1, 0x1p-30}),
                                         Tensor({2, 2}, {1, 0, 1, 1})};
  EXPECT_EQ(run(text, arguments, kExact)[1].data[0], 1);
  EXPECT_EQ(run(text, arguments, kDeclared)[1].data[0], 0);
}

TEST(FusedOps, LinearArgmaxWithNormAndBias) {
  const auto y = run(R"(
    func.func @f(%x: tensor<1x2xf32>, %w: tensor<2x2xf32>, %b: tensor<2xf32>, %g: tensor<2xf32>)
        -> (tensor<1xf32>, tensor<1xi32>) {
      %v, %i = xfmr.linear_argmax %x, %w bias %b norm %g {eps = 3.5 : f32}
        : (tensor<1x2xf32>, tensor<2x2xf32>, tensor<2xf32>, tensor<2xf32>)
          -> (tensor<1xf32>, tensor<1xi32>)
      return %v, %i : tensor<1xf32>, tensor<1xi32> })",
                     {Tensor({1, 2}, {3, 4}), Tensor({2, 2}, {1, 0, 0, 1}), Tensor({2}, {0, 3}),
                      Tensor({2}, {1, -2})});
  // 0.75 + 0 and -2 + 3.
  EXPECT_THAT(y[0].data, near({1}));
  EXPECT_EQ(y[1].data[0], 1);
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

TEST(Weights, SourcesAreStackedInOrder) {
  const auto y =
      run(R"(
    xfmr.weight @w : tensor<3x2xf32> from [#xfmr.source<"b", 1, 2>, #xfmr.source<"a", 0, 2>]
    func.func @f() -> tensor<3x2xf32> {
      %0 = xfmr.get_weight @w : tensor<3x2xf32>
      return %0 : tensor<3x2xf32> })",
          {}, kExact, {{"a", Tensor({2, 2}, {1, 2, 3, 4})}, {"b", Tensor({2, 2}, {5, 6, 7, 8})}});
  EXPECT_THAT(y[0].data, ElementsAre(7, 8, 1, 2, 3, 4));
}

TEST(Weights, KScaleIsTheNextPowerOfTwo) {
  const std::string text = R"(
    xfmr.weight @s : tensor<1xf32> from #xfmr.k_scale<"k", 4>
    func.func @f() -> tensor<1xf32> {
      %0 = xfmr.get_weight @s : tensor<1xf32>
      return %0 : tensor<1xf32> })";
  const auto scale = [&](double w) {
    return run(text, {}, kExact, {{"k", Tensor({4}, {0.1, -w, 0.1, 0.1})}})[0].data[0];
  };
  EXPECT_EQ(scale(8), 16) << "8 * sqrt(4) is a power of two itself";
  EXPECT_EQ(scale(8.1), 32);
  EXPECT_EQ(scale(0.2), 1) << "never below 1";
}

TEST(Weights, KScaleLeavesFp8ItsRoom) {
  const auto y = run(R"(
    xfmr.weight @s : tensor<1xf32> from #xfmr.k_scale<"k", 4, 256>
    func.func @f() -> tensor<1xf32> {
      %0 = xfmr.get_weight @s : tensor<1xf32>
      return %0 : tensor<1xf32> })",
                     {}, kExact, {{"k", Tensor({4}, {0.1, -8.1, 0.1, 0.1})}});
  EXPECT_EQ(y[0].data[0], 32.0 / 256);
}

TEST(Rounding, Fp8IsNearestEvenAndSaturates) {
  const auto e4m3 = [](double x) { return roundTo(DType::E4M3, x); };
  EXPECT_EQ(e4m3(17), 16) << "a tie: 16 is even, 18 is not";
  EXPECT_EQ(e4m3(19), 20);
  EXPECT_EQ(e4m3(17.01), 18);
  EXPECT_EQ(e4m3(-448), -448);
  EXPECT_EQ(e4m3(464), 448) << "half a step above the largest number";
  EXPECT_EQ(e4m3(-1e30), -448);
  EXPECT_EQ(e4m3(0x1p-9), 0x1p-9) << "the smallest number";
  EXPECT_EQ(e4m3(0x1p-10), 0);
  EXPECT_EQ(e4m3(1.5 * 0x1p-9), 0x1p-8);
  EXPECT_EQ(e4m3(15.9 / 1024), 0x1p-6) << "from below the smallest normal number";
  EXPECT_TRUE(std::isnan(e4m3(std::nan(""))));
  const auto e5m2 = [](double x) { return roundTo(DType::E5M2, x); };
  EXPECT_EQ(e5m2(9), 8);
  EXPECT_EQ(e5m2(11), 12);
  EXPECT_EQ(e5m2(1e9), 57344);
  EXPECT_EQ(e5m2(-0x1p-16), -0x1p-16);
  EXPECT_EQ(e5m2(0x1p-18), 0);
}

TEST(Weights, RopeTable) {
  const std::string text = R"(
    xfmr.weight @t : tensor<3x4xf32> from #xfmr.rope_table<2.0, [1.0, 0.5]>
    func.func @f() -> tensor<3x4xf32> {
      %0 = xfmr.get_weight @t : tensor<3x4xf32>
      return %0 : tensor<3x4xf32> })";
  const auto y = run(text, {});
  EXPECT_THAT(std::vector<double>(y[0].row(2), y[0].row(3)),
              near({2 * std::cos(2.0), 2 * std::cos(1.0), 2 * std::sin(2.0), 2 * std::sin(1.0)}));
  EXPECT_EQ(run(text, {}, kDeclared)[0].row(2)[0], float(2 * std::cos(2.0)));
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

TEST(Errors, NameTheOpAndTheValue) {
  GraphCall call;
  call.batch = someBatch();
  call.arguments = {Tensor({1}, {7})};
  call.weights = {{"e", Tensor({4, 2})}};
  const std::string text = R"(
    xfmr.weight @w : tensor<4x2xf32> from [#xfmr.source<"NAME", 0, 4>]
    func.func @f(%t: tensor<?xi32>) -> tensor<?x2xf32> {
      %w = xfmr.get_weight @w : tensor<4x2xf32>
      %0 = xfmr.embedding %t, %w : (tensor<?xi32>, tensor<4x2xf32>) -> tensor<?x2xf32> loc("emb")
      return %0 : tensor<?x2xf32> })";
  const auto with = [&](const std::string &name) {
    std::string copy = text;
    return copy.replace(copy.find("NAME"), 4, name);
  };
  EXPECT_EQ(runGraph(with("e"), kExact, call).status().message(),
            "emb: token 7 is outside the vocabulary of 4");
  EXPECT_THAT(runGraph(with("x"), kExact, call).status().message(),
              HasSubstr("no tensor \"x\" was given"));
  call.weights = {{"e", Tensor({4, 3})}};
  EXPECT_THAT(runGraph(with("e"), kExact, call).status().message(),
              HasSubstr("tensor \"e\": shape [4, 3], the graph reads rows [0, 4) of [4, 2]"));
  call.arguments.clear();
  EXPECT_EQ(runGraph(with("e"), kExact, call).status().message(),
            "function f: tensor argument 0 is missing");
}

TEST(Errors, UnknownOp) {
  GraphCall call;
  call.batch = someBatch();
  const auto result = runGraph(R"(
    func.func private @g()
    func.func @f() { func.call @g() : () -> () return })",
                               kExact, call);
  EXPECT_THAT(result.status().message(), HasSubstr("the interpreter does not know op 'func.call'"));
}

//===----------------------------------------------------------------------===//
// relativeL2
//===----------------------------------------------------------------------===//

TEST(RelativeL2, CountsWhatItShould) {
  const double inf = std::numeric_limits<double>::infinity();
  const auto distance = [](std::vector<double> a, std::vector<double> b) {
    const auto size = int64_t(a.size());
    return relativeL2(Tensor({size}, a), Tensor({int64_t(b.size())}, b));
  };
  EXPECT_EQ(distance({3, 4}, {3, 4}), 0);
  EXPECT_DOUBLE_EQ(distance({3, 5}, {3, 4}), 0.2);
  EXPECT_EQ(distance({0, 1}, {0, 0}), inf);
  EXPECT_EQ(distance({0, 0}, {0, 0}), 0);
  EXPECT_EQ(distance({1, kNaN}, {1, 2}), inf);
  EXPECT_EQ(distance({1, 2}, {1, kNaN}), inf);
  EXPECT_EQ(distance({1, inf}, {1, -inf}), inf);
  EXPECT_EQ(distance({1, 2, 3}, {1, 2}), inf) << "another shape";
}

} // namespace
