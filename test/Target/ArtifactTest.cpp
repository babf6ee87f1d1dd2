//===- ArtifactTest.cpp - what lib/Target writes, the runner runs ---------===//
#include "ToyProgram.h"

#include "runtime/model/Artifact.h"
#include "test/Support/TempDir.h"

#include "llvm/Object/ELFObjectFile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace sinter;
using namespace sinter::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace {

std::unique_ptr<Artifact> load(const std::string &bytes, uint32_t isa) {
  TempDir directory;
  const std::string path = directory.file("toy.sinter");
  std::ofstream(path, std::ios::binary) << bytes;
  Result<ArtifactFile> file = ArtifactFile::open(path);
  EXPECT_TRUE(file.isOk()) << file.status().message();
  if (!file)
    return nullptr;
  Result<std::unique_ptr<Artifact>> artifact = Artifact::load(*std::move(file), "cpu", isa);
  EXPECT_TRUE(artifact.isOk()) << artifact.status().message();
  return artifact ? *std::move(artifact) : nullptr;
}

/// A runner of one thread that remembers.
struct Runner {
  SinterRt rt = {
      sizeof(SinterRt), SINTER_ABI_VERSION, this, parallelFor, nullptr, nullptr, nullptr, fail};
  std::vector<uint32_t> tasks;
  std::string message;

  static void parallelFor(const SinterRt *rt, SinterKernel kernel, const SinterLaunch *launch,
                          uint32_t tasks) {
    static_cast<Runner *>(rt->self)->tasks.push_back(tasks);
    kernel(launch, 0, tasks, nullptr);
  }
  static int32_t fail(const SinterRt *rt, const char *message) {
    static_cast<Runner *>(rt->self)->message = message;
    return -7;
  }
};

/// A step of the toy with every pointer set.
struct Step {
  alignas(64) char arena[128] = {};
  int32_t ids[8] = {};
  float logits[8] = {};
  char weightBytes[128] = {};
  void *weights[1] = {weightBytes};
  SinterModel model = {sizeof(SinterModel), 3, 1, 1, weights, arena, nullptr, 256};
  SinterBatch batch = {sizeof(SinterBatch),
                       3,
                       1,
                       1,
                       3,
                       3,
                       1,
                       0,
                       ids,
                       ids,
                       ids,
                       ids,
                       ids,
                       ids,
                       ids,
                       logits,
                       nullptr,
                       nullptr};
};

class ArtifactTest : public ::testing::Test {
protected:
  void SetUp() override {
    mlir::FailureOr<std::string> written = toy.write();
    ASSERT_TRUE(mlir::succeeded(written));
    bytes = *written;
    artifact = load(bytes, 3);
    ASSERT_TRUE(artifact);
  }
  std::string refuse(uint32_t entry = 0) {
    Runner runner;
    EXPECT_EQ(artifact->step()(&runner.rt, &step.model, entry, &step.batch), -7);
    EXPECT_TRUE(runner.tasks.empty());
    return runner.message;
  }

  Toy toy;
  Step step;
  std::string bytes;
  std::unique_ptr<Artifact> artifact;
};

TEST_F(ArtifactTest, RunsTheKernelsOfTheInstructionSet) {
  for (uint32_t isa : {kIsaV3, kIsaV4, kIsaV4Bf16}) {
    if (isa >= kIsaV4 && !__builtin_cpu_supports("x86-64-v4")) // nothing in the toy needs bf16
      GTEST_SKIP() << "this machine has no x86-64-v4";
    Runner runner;
    step.model.isa = isa;
    ASSERT_EQ(artifact->step()(&runner.rt, &step.model, 0, &step.batch), 0) << runner.message;
    EXPECT_THAT(runner.tasks, ElementsAre(3, 1));
    EXPECT_THAT(step.logits, ElementsAre(isa * 100, isa * 100 + 1, isa * 100 + 2, 0, 0, 0, 0, 0));
  }
}

TEST_F(ArtifactTest, FallsBackToTheLowerInstructionSetOnly) {
  for (uint32_t isa : {kIsaV4Bf16, kIsaV4}) { // without kernels of its own it runs those below
    for (StepKernel &kernel : toy.program.kernels)
      kernel.symbol[isa - kIsaV3].clear();
    if (isa - 1 >= kIsaV4 && !__builtin_cpu_supports("x86-64-v4"))
      continue;
    artifact = load(*toy.write(), kIsaV4Bf16);
    Runner runner;
    step.model.isa = isa;
    ASSERT_EQ(artifact->step()(&runner.rt, &step.model, 0, &step.batch), 0) << runner.message;
    EXPECT_EQ(step.logits[0], 100 * (isa - 1));
  }

  Toy high;
  for (StepKernel &kernel : high.program.kernels)
    kernel.symbol[0].clear();
  artifact = load(*high.write(), 4);
  step.model.isa = 3;
  EXPECT_EQ(refuse(), "the compiled model has no kernels for this machine's instruction set");
}

TEST_F(ArtifactTest, TheSameInputGivesTheSameBytes) {
  Toy again;
  mlir::FailureOr<std::string> second = again.write();
  ASSERT_TRUE(mlir::succeeded(second));
  EXPECT_TRUE(bytes == *second);
  again.info.generation.topK = 3;
  second = again.write();
  ASSERT_TRUE(mlir::succeeded(second));
  EXPECT_FALSE(bytes == *second);
}

TEST_F(ArtifactTest, NeedsNothingFromOutside) {
  auto elf = llvm::object::ELFObjectFile<llvm::object::ELF64LE>::create(
      llvm::MemoryBufferRef(bytes, "toy"));
  ASSERT_TRUE(static_cast<bool>(elf));
  std::vector<std::string> exported;
  for (const auto &symbol : elf->getDynamicSymbolIterators()) {
    auto flags = symbol.getFlags();
    auto name = symbol.getName();
    ASSERT_TRUE(flags && name);
    EXPECT_FALSE(*flags & llvm::object::SymbolRef::SF_Undefined) << name->str();
    exported.push_back(name->str());
  }
  EXPECT_THAT(exported, ElementsAre("sinter_step"));
  auto entries = elf->getELFFile().dynamicEntries();
  ASSERT_TRUE(static_cast<bool>(entries));
  for (const auto &entry : *entries)
    EXPECT_NE(entry.getTag(), llvm::ELF::DT_NEEDED);
}

TEST_F(ArtifactTest, AFlippedByteIsNoticed) {
  for (size_t at : {bytes.size() / 2, bytes.size() - 1, bytes.find("\"format\"")}) {
    std::string broken = bytes;
    broken[at] ^= 1;
    EXPECT_FALSE(readArtifact({reinterpret_cast<const uint8_t *>(broken.data()), broken.size()}));
  }
}

TEST_F(ArtifactTest, CarriesSectionsAndMetadata) {
  const Manifest &manifest = artifact->manifest();
  EXPECT_EQ(manifest.model.name, "toy");
  EXPECT_EQ(manifest.model.vocab, 8u);
  EXPECT_THAT(manifest.model.eos, ElementsAre(1));
  EXPECT_EQ(manifest.weights.size(), 1u);
  EXPECT_EQ(manifest.weights[0].bytes, 16u * 4 * 2);
  EXPECT_EQ(manifest.kv.layerBytes, 2u * 16 * 4 * 2);
  EXPECT_EQ(manifest.entries[0].schedule.size(), 2u);
  const ArtifactSections &sections = artifact->file().sections();
  EXPECT_EQ(sections.tokenizer, "{}");
  EXPECT_EQ(sections.chatTemplate, "");
  EXPECT_THAT(std::string(sections.schedule), HasSubstr("copy_toy"));
}

TEST_F(ArtifactTest, RefusesWhatItCannotRun) {
  EXPECT_EQ(refuse(1), "the compiled model has no entry point of that number");
  step.batch.num_tokens = 9;
  EXPECT_EQ(refuse(), "the step has more or fewer tokens than its entry point takes");
  step.batch.num_tokens = 0;
  EXPECT_EQ(refuse(), "the step has more or fewer tokens than its entry point takes");
  step = Step();
  step.batch.num_rows = 9;
  EXPECT_EQ(refuse(), "the step asks for the logits of more rows than its entry point gives");
  step = Step();
  step.batch.logits = nullptr;
  EXPECT_EQ(refuse(), "the memory for the step's results is missing");
  step = Step();
  step.model.isa = 2;
  EXPECT_EQ(refuse(),
            "SinterModel.isa is none of 3 (x86-64-v3), 4 (x86-64-v4) and 5 (x86-64-v4-bf16)");
  step = Step();
  step.model.size = 8;
  EXPECT_EQ(refuse(), "SinterModel is smaller than the compiled model needs");
  step = Step();
  step.batch.size = 8;
  EXPECT_EQ(refuse(), "SinterBatch is smaller than the compiled model needs");
  step = Step();
  step.model.num_weights = 0;
  EXPECT_EQ(refuse(), "a weight of the compiled model was not loaded");
  step = Step();
  step.batch.slots = nullptr;
  EXPECT_EQ(refuse(), "an input array of the step is missing");
  step = Step();
  step.batch.num_seqs = 0;
  EXPECT_EQ(refuse(), "the step needs at least one sequence, each with a token");
}

TEST_F(ArtifactTest, RefusesAnotherAbi) {
  Runner runner;
  runner.rt.version = SINTER_ABI_VERSION + 1;
  EXPECT_EQ(artifact->step()(&runner.rt, &step.model, 0, &step.batch), -7);
  EXPECT_EQ(runner.message, "the runner speaks another ABI version than the compiled model");
  runner.rt.size = 16;
  EXPECT_EQ(artifact->step()(&runner.rt, &step.model, 0, &step.batch), -1);
}

/// The first error of writing `toy`.
std::string writeError(Toy &toy) {
  std::string message;
  mlir::ScopedDiagnosticHandler handler(&toy.context, [&](mlir::Diagnostic &diagnostic) {
    message = message.empty() ? diagnostic.str() : message;
    return mlir::success();
  });
  EXPECT_TRUE(mlir::failed(toy.write()));
  return message;
}

TEST(ArtifactErrors, MalformedPrograms) {
  Toy noKernel;
  noKernel.program.entries[0].ops[1].kernel = 2;
  EXPECT_EQ(writeError(noKernel), "step_m1_8_logits: heads: has no kernel");
  Toy manyArgs;
  manyArgs.program.entries[0].ops[0].args.resize(17);
  EXPECT_EQ(writeError(manyArgs), "step_m1_8_logits: embed: has more than 16 arguments");
  Toy grid;
  grid.program.entries[0].ops[0].grid.div[2] = 0;
  EXPECT_EQ(writeError(grid), "step_m1_8_logits: embed: has a malformed grid");
}

TEST(ArtifactErrors, AKernelThatCallsOutside) {
  Toy toy;
  toy.kernels = mlir::parseSourceString<mlir::ModuleOp>(
      "llvm.func @expf(f32) -> f32\n"
      "llvm.func @stamp_v3(%a: !llvm.ptr, %b: i32, %c: i32, %d: !llvm.ptr) {\n"
      "  %x = llvm.load %a : !llvm.ptr -> f32\n"
      "  %y = llvm.call @expf(%x) : (f32) -> f32\n"
      "  llvm.store %y, %a : f32, !llvm.ptr\n"
      "  llvm.return\n}\n" +
          toyStamp("stamp_v4", "4") + toyStamp("stamp_bf16", "5") + toyCopy("copy_v3") +
          toyCopy("copy_v4"),
      &toy.context);
  EXPECT_THAT(writeError(toy), HasSubstr("undefined symbol: expf"));
}

} // namespace
