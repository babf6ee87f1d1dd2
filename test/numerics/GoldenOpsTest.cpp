//===- GoldenOpsTest.cpp - the interpreter against transformers, op by op -===//
#include "GoldenOps.h"

#include "test/Interpreter/Graph.h"

#include "gtest/gtest.h"

#include <cmath>

using namespace sinter;
using namespace sinter::interp;

namespace {

constexpr Mode kExact{0}, kDeclared{1};

/// f32: what transformers' own f32 sums are off by. bf16: one rounding of the result is 1.7e-3 in
/// this norm; transformers rounds also inside norms, and the angle table of rope.
constexpr double kF32Bound = 1e-6;
double bf16Bound(const std::string &op) {
  return op == "rms_norm" || op == "rope" || op == "swiglu" || op == "attention" ? 4e-3 : 5e-4;
}

const GoldenFile &golden() {
  static const Result<GoldenFile> file =
      GoldenFile::open(std::string(SINTER_SOURCE_DIR) + "/test/numerics/golden");
  EXPECT_TRUE(file.isOk()) << file.status().message();
  return *file;
}

double errorOf(const GoldenCase &test, Mode mode) {
  GraphCall call;
  call.arguments = test.arguments;
  call.batch = test.batch;
  call.provider = golden().weights();
  const auto results = runGraph(test.text, mode, call);
  EXPECT_TRUE(results.isOk()) << results.status().message() << "\n" << test.text;
  return results ? relativeL2((*results)[0], test.want) : INFINITY;
}

GoldenCase caseOf(const GoldenOp &op, const std::string &dtype) {
  auto result = makeCase(golden(), op, dtype);
  EXPECT_TRUE(result.isOk()) << result.status().message();
  return result ? *result : GoldenCase();
}

void expectGolden(const std::vector<GoldenOp> &ops) {
  for (const GoldenOp &op : ops) {
    SCOPED_TRACE(op.op + " -> " + op.output);
    EXPECT_LE(errorOf(caseOf(op, "f32"), kExact), kF32Bound);
    EXPECT_LE(errorOf(caseOf(op, "f32"), kDeclared), kF32Bound);
    EXPECT_LE(errorOf(caseOf(op, "bf16"), kDeclared), bf16Bound(op.op));
  }
}

TEST(GoldenOps, EveryRecordedOp) {
  EXPECT_EQ(golden().ops().size(), 37u);
  expectGolden(golden().ops());
}

TEST(GoldenOps, RopeScalingsAtLargePositions) {
  EXPECT_EQ(golden().ropes().size(), 6u);
  expectGolden(golden().ropes());
}

//===----------------------------------------------------------------------===//
// The bounds tell right from wrong
//===----------------------------------------------------------------------===//

const GoldenOp &find(const std::string &output) {
  for (const GoldenOp &op : golden().ops())
    if (op.output == output)
      return op;
  ADD_FAILURE() << output;
  return golden().ops()[0];
}

void expectCaught(const GoldenOp &op, const std::string &what,
                  const std::function<void(GoldenCase &)> &spoil) {
  SCOPED_TRACE(what);
  for (const char *dtype : {"f32", "bf16"}) {
    GoldenCase test = caseOf(op, dtype);
    spoil(test);
    EXPECT_GT(errorOf(test, kDeclared), 2 * bf16Bound(op.op)) << dtype;
  }
}

void replace(std::string &text, const std::string &from, const std::string &to) {
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

TEST(GoldenOps, MistakesAreCaught) {
  expectCaught(find("layers.0.q_rope"), "position off by one", [](GoldenCase &test) {
    for (int32_t &position : test.batch.positions)
      position = position ? position - 1 : 0;
  });
  expectCaught(find("layers.0.input_norm"), "epsilon 0.1",
               [](GoldenCase &test) { replace(test.text, "eps = 1", "eps = 100000"); });
  expectCaught(find("layers.0.swiglu"), "gate and up swapped",
               [](GoldenCase &test) { std::swap(test.arguments[0], test.arguments[1]); });
  expectCaught(find("layers.0.attention"), "scale of another head size",
               [](GoldenCase &test) { replace(test.text, "scale = 1.7", "scale = 1.2"); });
  expectCaught(find("layers.0.attention"), "k of the other layer", [](GoldenCase &test) {
    test.arguments[1] = *golden().value("f32", "layers.1.k_rope");
  });
  GoldenOp noBias = find("layers.0.q");
  noBias.bias.clear();
  expectCaught(noBias, "no bias", [](GoldenCase &) {});
  GoldenOp wrongTable = golden().ropes()[0];
  wrongTable.frequencies = "rope.linear.inv_freq";
  expectCaught(wrongTable, "frequencies of another scaling", [](GoldenCase &) {});
}

} // namespace
