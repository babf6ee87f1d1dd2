//===- ArtifactTest.cpp ---------------------------------------------------===//
#include "runtime/model/Artifact.h"
#include "test/runtime/fake/FakeModel.h"

#include <fstream>
#include <gtest/gtest.h>

namespace sinter {
namespace {

std::vector<uint8_t> makeFake() {
  return fake::makeArtifact(fake::makeMeta("/nowhere", std::string(64, '0')).dump());
}

std::string errorOf(const std::string &path, const std::string &target = "cpu", uint32_t isa = 3) {
  auto file = ArtifactFile::open(path);
  if (!file)
    return file.status().message();
  auto artifact = Artifact::load(*std::move(file), target, isa);
  return artifact ? "" : artifact.status().message();
}

/// What is wrong with a file of these bytes; its name a.sinter stands for its path.
std::string errorOfBytes(const std::vector<uint8_t> &bytes, const std::string &target = "cpu",
                         uint32_t isa = 3) {
  fake::TemporaryFolder folder;
  fake::writeBytes(folder.file("a.sinter"), bytes);
  const std::string error = errorOf(folder.file("a.sinter"), target, isa);
  return error.rfind(folder.file(""), 0) == 0 ? error.substr(folder.file("").size()) : error;
}

TEST(Artifact, LoadsAndFindsItsParts) {
  const std::vector<uint8_t> bytes = makeFake();
  EXPECT_EQ(errorOfBytes(bytes), "");
  const auto sections = readArtifact(bytes);
  ASSERT_TRUE(sections.isOk());
  EXPECT_EQ(sections->schedule, "embed\nwrite\nattend\nhead\n");
  EXPECT_TRUE(sections->tokenizer.empty());
  EXPECT_EQ(sections->digest.size(), 64u);
  EXPECT_GT(sections->codeBytes, 0u);
}

TEST(Artifact, EveryFlippedByteIsRefused) {
  std::vector<uint8_t> bytes = makeFake();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint8_t flip = i % 3 == 0 ? 0xff : uint8_t(1 << i % 8);
    bytes[i] ^= flip;
    const auto sections = readArtifact(bytes);
    ASSERT_FALSE(sections.isOk()) << "byte " << i;
    ASSERT_EQ(sections.status().message().find('\n'), std::string::npos);
    bytes[i] ^= flip;
  }
  EXPECT_TRUE(readArtifact(bytes).isOk());
}

TEST(Artifact, EveryTruncationIsRefused) {
  const std::vector<uint8_t> bytes = makeFake();
  for (size_t size = 0; size < bytes.size(); size += size < 4096 ? 1 : 61)
    ASSERT_FALSE(readArtifact({bytes.data(), size}).isOk()) << "cut to " << size;
  std::vector<uint8_t> longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(readArtifact(longer).isOk());
}

TEST(Artifact, MessagesNameTheFileAndTheReason) {
  fake::TemporaryFolder folder;
  EXPECT_EQ(errorOf(folder.file("none.sinter")), folder.file("none.sinter") + ": no such file");
  EXPECT_EQ(errorOf(folder.path()), folder.path() + ": not a regular file");
  EXPECT_EQ(errorOfBytes({}), "a.sinter: not a compiled model (empty file)");
  EXPECT_EQ(errorOfBytes(std::vector<uint8_t>(5000, 'x')),
            "a.sinter: not a compiled model (not an ELF file)");
  std::vector<uint8_t> bytes = makeFake();
  bytes.resize(bytes.size() / 2);
  EXPECT_EQ(errorOfBytes(bytes),
            "a.sinter: damaged or truncated: the section table lies outside the file");
  bytes = makeFake();
  bytes[bytes.size() / 2] ^= 1;
  EXPECT_EQ(errorOfBytes(bytes), "a.sinter: damaged: its SHA-256 is not the recorded one");
}

TEST(Artifact, ForeignSharedObjectsAreRefused) {
  const std::string error = errorOf("/proc/self/exe");
  EXPECT_NE(error.find("not a compiled model"), std::string::npos) << error;
}

TEST(Artifact, OtherAbiTargetAndInstructionLevel) {
  nlohmann::json meta = fake::makeMeta("/nowhere", std::string(64, '0'));
  meta["abi"] = 9;
  EXPECT_EQ(errorOfBytes(fake::makeArtifact(meta.dump())),
            "a.sinter: compiled for ABI version 9, this program has version 4: compile the model "
            "again");
  meta["abi"] = SINTER_ABI_VERSION;
  meta["target"] = "cuda:sm_90a";
  EXPECT_EQ(errorOfBytes(fake::makeArtifact(meta.dump())),
            "a.sinter: compiled for target \"cuda:sm_90a\", this runs target cpu");
  meta["target"] = "cpu";
  meta["isas"] = {"x86-64-v4"};
  EXPECT_EQ(errorOfBytes(fake::makeArtifact(meta.dump())),
            "a.sinter: has no code for x86-64-v3 or below");
}

TEST(Artifact, GpuCodeLiesInItsSections) {
  auto errorAfter = [](const char *place, const nlohmann::json &value) {
    nlohmann::json meta = fake::makeCudaMeta("/nowhere", std::string(64, '0'));
    if (*place)
      meta[nlohmann::json::json_pointer(place)] = value;
    return errorOfBytes(fake::makeCudaArtifact(meta.dump()), "cuda", 0);
  };
  const std::string module = "a.sinter: .sinter.meta: modules[0]: ";
  EXPECT_EQ(errorAfter("", {}), "");
  EXPECT_EQ(errorAfter("/modules/0/ptx", {0, 10000}), module + "\"ptx\": lies outside .sinter.ptx");
  EXPECT_EQ(errorAfter("/modules/0/ptx", {281474976710655, 2}),
            module + "\"ptx\": lies outside .sinter.ptx");
  EXPECT_EQ(errorAfter("/modules/0/ptx", {0, 5}),
            module + "\"ptx\": is not a text with a NUL at its end");
  EXPECT_EQ(errorAfter("/modules/0/ptx", {0, 0}),
            module + "\"ptx\": is not a text with a NUL at its end");
  EXPECT_EQ(errorAfter("/modules/0/cubin", {10000, 0}),
            module + "\"cubin\": lies outside .sinter.cubin");
}

TEST(Artifact, LaterChangesOfTheFileDoNotMatter) {
  fake::TemporaryFolder folder;
  const std::string path = folder.file("a.sinter");
  fake::writeBytes(path, makeFake());
  auto file = ArtifactFile::open(path);
  ASSERT_TRUE(file.isOk());
  fake::writeBytes(path, std::vector<uint8_t>(100, 0));
  const auto artifact = Artifact::load(*std::move(file), "cpu", 3);
  ASSERT_TRUE(artifact.isOk()) << artifact.status().message();
  EXPECT_NE((*artifact)->step(), nullptr);
}

// dlopen knows libraries by path: a second artefact must not be taken for the first.
TEST(Artifact, TwoAtATimeAreTwo) {
  fake::TemporaryFolder folder;
  fake::writeBytes(folder.file("a.sinter"), makeFake());
  auto load = [&] {
    return *Artifact::load(*ArtifactFile::open(folder.file("a.sinter")), "cpu", 3);
  };
  const auto first = load(), second = load();
  EXPECT_NE(first->step(), second->step());
}

} // namespace
} // namespace sinter
