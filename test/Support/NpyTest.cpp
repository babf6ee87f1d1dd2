//===- NpyTest.cpp - .npy files -------------------------------------------===//
#include "sinter/Support/Npy.h"

#include "test/Support/TempDir.h"

#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>

using namespace sinter;
using sinter::testing::readAll;
using sinter::testing::TempDir;

namespace {

/// A file as numpy.save writes it (version 1.0, header padded to a multiple of 64).
std::string npyBytes(const std::string &dict, const std::string &data) {
  std::string header = dict;
  header.resize(((10 + dict.size() + 1 + 63) / 64) * 64 - 11, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += char(header.size() & 255);
  out += char(header.size() >> 8);
  return out + header + data;
}

TEST(Npy, WritesTheBytesNumpyExpects) {
  TempDir dir;
  auto writer = NpyWriter::create(dir.file("a.npy"), 3);
  ASSERT_TRUE(writer.isOk());
  const float rows[6] = {1, 2, 3, 4, 5, 6};
  ASSERT_TRUE(writer->append(rows, 2).isOk());
  ASSERT_TRUE(writer->append(rows + 3, 1).isOk());
  EXPECT_FALSE(std::filesystem::exists(dir.file("a.npy"))) << "nothing to see before close";
  ASSERT_TRUE(writer->close().isOk());
  const std::string bytes = readAll(dir.file("a.npy"));
  ASSERT_EQ(bytes.size(), 128u + 36);
  EXPECT_EQ(bytes.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  EXPECT_EQ(bytes.substr(10, 59), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }");
  EXPECT_EQ(bytes[127], '\n');
  float last;
  std::memcpy(&last, bytes.data() + 128 + 32, 4);
  EXPECT_EQ(last, 6.0f);
}

TEST(Npy, RoundTrip) {
  TempDir dir;
  auto writer = NpyWriter::create(dir.file("a.npy"), 2);
  for (float i = 0; i < 100; ++i) {
    const float row[2] = {i, -i};
    ASSERT_TRUE(writer->append(row, 1).isOk());
  }
  ASSERT_TRUE(writer->close().isOk());
  auto array = readNpy(dir.file("a.npy"));
  ASSERT_TRUE(array.isOk()) << array.status().message();
  EXPECT_EQ(array->shape, (std::vector<size_t>{100, 2}));
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(array->data[2 * i], float(i));
    EXPECT_EQ(array->data[2 * i + 1], -float(i));
  }
}

TEST(Npy, AnUnfinishedWriterLeavesNothing) {
  TempDir dir;
  {
    auto writer = NpyWriter::create(dir.file("a.npy"), 2);
    const float row[2] = {1, 2};
    ASSERT_TRUE(writer->append(row, 1).isOk());
    NpyWriter moved = *std::move(writer);
    EXPECT_EQ(moved.rows(), 1u);
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Npy, WriterErrors) {
  TempDir dir;
  EXPECT_EQ(NpyWriter::create(dir.file("no/a.npy"), 2).status().message(),
            dir.file("no/a.npy") + ": cannot create: No such file or directory");
  auto writer = NpyWriter::create(dir.file("a.npy"), 2);
  ASSERT_TRUE(writer->close().isOk());
  EXPECT_EQ(writer->close().code(), StatusCode::Internal);
  const float row[2] = {1, 2};
  EXPECT_EQ(writer->append(row, 1).code(), StatusCode::Internal);
}

TEST(Npy, ReadsHalfFloatsAndAnyRank) {
  TempDir dir;
  const std::string path =
      dir.write("a.npy", npyBytes("{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }",
                                  std::string("\x00\x3c\x00\xc0", 4)));
  auto array = readNpy(path);
  ASSERT_TRUE(array.isOk()) << array.status().message();
  EXPECT_EQ(array->shape, std::vector<size_t>{2});
  EXPECT_EQ(array->data, (std::vector<float>{1, -2}));
}

TEST(Npy, ReaderErrors) {
  TempDir dir;
  const auto error = [&](const std::string &content) {
    const std::string path = dir.write("a.npy", content);
    auto array = readNpy(path);
    EXPECT_FALSE(array.isOk());
    return array.status().message().substr(path.size() + 2);
  };
  const std::string eight(8, '\0');
  EXPECT_EQ(error("hello, this is no array"), "not a version 1.0 .npy file");
  EXPECT_EQ(error(std::string("\x93NUMPY\x01\x00\xff\xff", 10)), "truncated header");
  EXPECT_EQ(error(npyBytes("{'descr': '<f4'}", eight)), "malformed .npy header");
  EXPECT_EQ(error(npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (x,)}", eight)),
            "malformed .npy header");
  EXPECT_EQ(error(npyBytes("{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}", eight)),
            "only C order is read");
  EXPECT_EQ(error(npyBytes("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", eight)),
            "only <f4 and <f2 arrays are read");
  EXPECT_EQ(error(npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", eight)),
            "has 8 bytes of data, its shape needs 3 elements");
  EXPECT_EQ(error(npyBytes("{'descr': '<f4', 'fortran_order': False, "
                           "'shape': (9999999999, 9999999999)}",
                           eight)),
            "shape is too large");
}

} // namespace
