//===- MappedFileTest.cpp - files open for reading ------------------------===//
#include "sinter/Support/MappedFile.h"

#include "test/Support/TempDir.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

using namespace sinter;
using sinter::testing::TempDir;

namespace {

/// Pages of the mapping that this process has resident; counts the range of `bytes` from `data`.
size_t residentKilobytes(const void *data) {
  std::FILE *maps = std::fopen("/proc/self/smaps", "r");
  char line[512];
  bool inside = false;
  size_t kilobytes = 0;
  while (maps && std::fgets(line, sizeof line, maps)) {
    unsigned long begin, end;
    if (std::sscanf(line, "%lx-%lx ", &begin, &end) == 2)
      inside = reinterpret_cast<unsigned long>(data) == begin;
    else if (inside && std::sscanf(line, "Rss: %zu kB", &kilobytes) == 1)
      break;
  }
  if (maps)
    std::fclose(maps);
  return kilobytes;
}

TEST(MappedFile, MapsAndReads) {
  TempDir dir;
  auto file = MappedFile::open(dir.write("a", "hello world"));
  ASSERT_TRUE(file.isOk());
  EXPECT_EQ(file->size(), 11u);
  EXPECT_EQ(std::string(reinterpret_cast<const char *>(file->data()), 5), "hello");
  char word[5];
  ASSERT_TRUE(file->read(6, 5, word).isOk());
  EXPECT_EQ(std::string(word, 5), "world");
  MappedFile moved = *std::move(file);
  EXPECT_EQ(moved.data()[0], 'h');
  EXPECT_TRUE(moved.read(11, 0, nullptr).isOk());
}

TEST(MappedFile, EmptyFile) {
  TempDir dir;
  auto file = MappedFile::open(dir.write("a", ""));
  ASSERT_TRUE(file.isOk());
  EXPECT_EQ(file->size(), 0u);
  EXPECT_EQ(file->data(), nullptr);
  file->releasePages(0, 10);
}

TEST(MappedFile, OpenErrors) {
  TempDir dir;
  auto absent = MappedFile::open(dir.file("none"));
  EXPECT_EQ(absent.status().code(), StatusCode::NotFound);
  EXPECT_EQ(absent.status().message(),
            dir.file("none") + ": cannot open: No such file or directory");
  auto folder = MappedFile::open(dir.path());
  EXPECT_EQ(folder.status().message(), dir.path() + ": not a regular file");
  ASSERT_EQ(::mkfifo(dir.file("fifo").c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::open(dir.file("fifo")).status().message(),
            dir.file("fifo") + ": not a regular file");
}

TEST(MappedFile, ReadOutsideTheFile) {
  TempDir dir;
  auto file = MappedFile::open(dir.write("a", "12345678"));
  char byte;
  EXPECT_EQ(file->read(8, 1, &byte).message(),
            dir.file("a") + ": read of bytes 8 to 9 is outside the file's 8 bytes");
  EXPECT_FALSE(file->read(9, 0, &byte).isOk());
  EXPECT_FALSE(file->read(1, SIZE_MAX, &byte).isOk());
}

TEST(MappedFile, AFileThatShrankIsAnError) {
  TempDir dir;
  auto file = MappedFile::open(dir.write("a", std::string(10000, 'x')));
  ASSERT_EQ(::truncate(dir.file("a").c_str(), 5000), 0);
  std::vector<char> bytes(10000);
  EXPECT_TRUE(file->read(0, 5000, bytes.data()).isOk());
  const Status status = file->read(0, 10000, bytes.data());
  EXPECT_EQ(status.code(), StatusCode::Unavailable);
  EXPECT_EQ(status.message(), dir.file("a") + ": the file shrank while it was in use: had 10000 "
                                              "bytes, now ends at or before byte 5000");
}

TEST(MappedFile, ReleasedPagesLeaveMemory) {
  TempDir dir;
  constexpr size_t kBytes = 4 << 20;
  auto file = MappedFile::open(dir.write("a", std::string(kBytes, 'x')));
  unsigned sum = 0;
  for (size_t i = 0; i < kBytes; i += 512)
    sum += file->data()[i];
  ASSERT_EQ(sum, 'x' * kBytes / 512);
  ASSERT_GE(residentKilobytes(file->data()), 4096u);
  file->releasePages(0, kBytes / 2);
  EXPECT_LE(residentKilobytes(file->data()), 2048u);
  file->releasePages(100, kBytes * 4);
  EXPECT_EQ(residentKilobytes(file->data()), 0u);
  EXPECT_EQ(file->data()[kBytes - 1], 'x') << "the bytes come back when touched";
}

TEST(MappedFile, BaseNames) {
  EXPECT_EQ(baseName("a/b.json"), "b.json");
  EXPECT_EQ(baseName("b.json"), "b.json");
  EXPECT_EQ(baseName("/a/b/"), "b");
  EXPECT_EQ(baseName("/"), "/");
}

TEST(MappedFile, TextFilesHaveALimit) {
  TempDir dir;
  const std::string path = dir.write("a", "12345678");
  EXPECT_EQ(*readTextFile(path, 8), "12345678");
  EXPECT_EQ(readTextFile(path, 7).status().message(), path + ": 8 bytes, at most 7 expected");
}

} // namespace
