//===- OutputFileTest.cpp - files that are whole or absent ----------------===//
#include "sinter/Support/OutputFile.h"

#include "test/Support/TempDir.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace sinter;
using sinter::testing::readAll;
using sinter::testing::TempDir;
namespace fs = std::filesystem;

namespace {

size_t filesIn(const std::string &folder) {
  return size_t(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(OutputFile, ReplacesTheOldFileOnlyAtTheEnd) {
  TempDir dir;
  ASSERT_TRUE(writeWholeFile(dir.file("a"), "old").isOk());
  {
    auto file = OutputFile::create(dir.file("a"));
    ASSERT_TRUE(file.isOk());
    ASSERT_TRUE(file->write("xyz", 3).isOk());
    ASSERT_TRUE(file->writeAt(1, "-", 1).isOk());
    EXPECT_EQ(readAll(dir.file("a")), "old");
    ASSERT_TRUE(file->write("!", 1).isOk());
    ASSERT_TRUE(file->close().isOk());
  }
  EXPECT_EQ(readAll(dir.file("a")), "x-z!");
  EXPECT_EQ(filesIn(dir.file("")), 1u);
}

TEST(OutputFile, LeavesNothingWhenAbandoned) {
  TempDir dir;
  {
    auto file = OutputFile::create(dir.file("a"));
    ASSERT_TRUE(file.isOk());
    ASSERT_TRUE(file->write("xyz", 3).isOk());
  }
  EXPECT_EQ(filesIn(dir.file("")), 0u);
}

TEST(OutputFile, ChecksWithoutWriting) {
  TempDir dir;
  ASSERT_TRUE(writeWholeFile(dir.file("a"), "old").isOk());
  EXPECT_TRUE(OutputFile::check(dir.file("a")).isOk());
  EXPECT_TRUE(OutputFile::check(dir.file("b")).isOk());
  EXPECT_EQ(readAll(dir.file("a")), "old");
  EXPECT_EQ(filesIn(dir.file("")), 1u);
  EXPECT_EQ(OutputFile::check(dir.file("no/b")).message(),
            dir.file("no/b") + ": cannot create: No such file or directory");
  EXPECT_EQ(OutputFile::check(dir.file(".")).message(), dir.file(".") + ": is a directory");
}

TEST(OutputFile, KeepsLinksAndLongNames) {
  TempDir dir;
  fs::create_directory(dir.file("far"));
  ASSERT_TRUE(writeWholeFile(dir.file("far/a"), "old").isOk());
  fs::create_symlink(dir.file("far/a"), dir.file("link"));
  ASSERT_TRUE(writeWholeFile(dir.file("link"), "new").isOk());
  EXPECT_TRUE(fs::is_symlink(dir.file("link")));
  EXPECT_EQ(readAll(dir.file("far/a")), "new");
  EXPECT_TRUE(writeWholeFile(dir.file(std::string(255, 'n')), "x").isOk());
}

TEST(OutputFile, NeverReplacesWhatIsNoRegularFile) {
  TempDir dir;
  ASSERT_EQ(::mkfifo(dir.file("pipe").c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] { got = readAll(dir.file("pipe")); });
  EXPECT_TRUE(writeWholeFile(dir.file("pipe"), "text").isOk());
  reader.join();
  EXPECT_EQ(got, "text");
  EXPECT_TRUE(OutputFile::check(dir.file("pipe")).isOk()) << "without a reader";
  EXPECT_TRUE(fs::is_fifo(dir.file("pipe")));
  EXPECT_EQ(writeWholeFile(dir.file("."), "x").message(), dir.file(".") + ": is a directory");
  if (::access("/dev/full", W_OK) == 0) {
    EXPECT_EQ(writeWholeFile("/dev/full", "x").message(),
              "/dev/full: cannot write: No space left on device");
    EXPECT_TRUE(fs::is_character_file("/dev/full"));
  }
}

} // namespace
