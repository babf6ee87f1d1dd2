//===- SafetensorsTest.cpp - headers accepted and refused -----------------===//
#include "sinter/Support/Safetensors.h"

#include "test/Support/SafetensorsText.h"
#include "test/Support/TempDir.h"

#include <gtest/gtest.h>
#include <unistd.h>

using namespace sinter;
using sinter::testing::safetensorsFile;
using sinter::testing::TempDir;

namespace {

constexpr const char *kTwo = R"({"__metadata__":{"format":"pt"},
  "b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},
  "a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})";

Result<SafetensorsHeader> parse(const std::string &file) {
  return parseSafetensorsHeader(file, file.size(), "m.safetensors");
}

/// The message for a header with so many bytes of data, without its "m.safetensors: ".
std::string refusal(const std::string &header, size_t dataBytes) {
  auto parsed = parse(safetensorsFile(header, dataBytes));
  EXPECT_FALSE(parsed.isOk()) << header;
  const std::string message = parsed.status().message();
  EXPECT_EQ(message.substr(0, 15), "m.safetensors: ");
  EXPECT_EQ(message.find('\n'), std::string::npos);
  return message.substr(15);
}

TEST(Safetensors, ReadsTensorsAndMetadata) {
  const std::string file = safetensorsFile(kTwo, 28);
  auto header = parse(file);
  ASSERT_TRUE(header.isOk()) << header.status().message();
  ASSERT_EQ(header->tensors.size(), 2u);
  EXPECT_EQ(header->tensors[0].name, "a") << "in the order of their data";
  EXPECT_EQ(header->metadata.at("format"), "pt");
  EXPECT_EQ(header->dataBegin, file.size() - 28);
  const SafetensorsTensor *b = header->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtypeName, "F32");
  EXPECT_EQ(b->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b->begin, header->dataBegin + 4);
  EXPECT_EQ(b->bytes(), 24u);
  EXPECT_EQ(*usableDType(*b, "m"), DType::F32);
  EXPECT_EQ(header->find("c"), nullptr);
  EXPECT_EQ(header->find("__metadata__"), nullptr);
}

TEST(Safetensors, AcceptsEdgeShapesAndPaddedHeaders) {
  auto header = parse(safetensorsFile(R"({"scalar":{"dtype":"F16","shape":[],"data_offsets":[0,2]},
    "none":{"dtype":"F32","shape":[4611686018427387904,8,0],"data_offsets":[2,2]},
    "last":{"dtype":"I8","shape":[1],"data_offsets":[2,3]},
    "f4":{"dtype":"F4","shape":[4],"data_offsets":[3,5]}}      )",
                                      5));
  ASSERT_TRUE(header.isOk()) << header.status().message();
  EXPECT_EQ(header->tensors.size(), 4u);
  EXPECT_TRUE(parse(safetensorsFile("{}", 0)).isOk());
}

TEST(Safetensors, HashCoversLengthAndHeader) {
  const std::string file = safetensorsFile(kTwo, 28);
  std::string otherData = file, otherHeader = file;
  otherData.back() ^= 1;
  otherHeader[file.find("\"pt\"") + 1] = 'q';
  EXPECT_EQ(parse(file)->hash.size(), 64u);
  EXPECT_EQ(parse(file)->hash, parse(otherData)->hash);
  EXPECT_NE(parse(file)->hash, parse(otherHeader)->hash);
}

TEST(Safetensors, RefusesBrokenFrames) {
  const auto message = [](const std::string &bytes) { return parse(bytes).status().message(); };
  EXPECT_EQ(message(""), "m.safetensors: truncated: 0 bytes, a safetensors file starts with an "
                         "8-byte header length");
  EXPECT_EQ(message("1234567").substr(0, 34), "m.safetensors: truncated: 7 bytes,");
  EXPECT_EQ(message(std::string("\xff\0\0\0\0\0\0\0{}", 10)),
            "m.safetensors: truncated: the header has 255 bytes, the file only 2 after byte 8");
  EXPECT_EQ(message("\x7f"
                    "ELF\x02\x01\x01 rest of a program")
                .substr(0, 56),
            "m.safetensors: header length 2306125593471370623 is over");
  EXPECT_EQ(message(std::string("\x01\xe1\xf5\x05\0\0\0\0", 8)),
            "m.safetensors: header length 100000001 is over the limit of 100000000 bytes "
            "(is this a safetensors file?)");
  auto shortPrefix = parseSafetensorsHeader(std::string("\x10\0\0\0\0\0\0\0{}", 10), 100, "m");
  EXPECT_EQ(shortPrefix.status().code(), StatusCode::InvalidArgument);
}

TEST(Safetensors, RefusesHeadersThatAreNotTensorMaps) {
  EXPECT_EQ(refusal("[]", 0), "the header is not a JSON object (is this a safetensors file?)");
  EXPECT_EQ(refusal("", 0), "the header is not a JSON object (is this a safetensors file?)");
  EXPECT_EQ(refusal("{\"a\":", 0),
            "header: not valid JSON at byte 5 (line 1): syntax error while parsing value - "
            "unexpected end of input; expected '[', '{', or a literal");
  EXPECT_EQ(refusal(R"({"a":1})", 0), "tensor \"a\": expected an object, got 1");
  EXPECT_EQ(refusal(R"({"__metadata__":3})", 0),
            "\"__metadata__\": expected an object of strings, got 3");
  EXPECT_EQ(refusal(R"({"__metadata__":{"k":3}})", 0),
            "\"__metadata__\": \"k\": expected a string, got 3");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},
                        "a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})",
                    2),
            "header: key \"a\" appears twice");
}

TEST(Safetensors, RefusesMalformedTensors) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"Q3","shape":[1],"data_offsets":[0,1]}})", 1),
            "tensor \"a\": unknown dtype \"Q3\"");
  EXPECT_EQ(refusal(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1),
            "tensor \"a\": \"dtype\": missing");
  EXPECT_EQ(refusal(R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,1]}})", 1),
            "tensor \"a\": \"dtype\": expected a string, got 7");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","data_offsets":[0,1]}})", 1),
            "tensor \"a\": \"shape\": missing");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[1]}})", 1),
            "tensor \"a\": \"data_offsets\": missing");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[-1],"data_offsets":[0,1]}})", 1),
            "tensor \"a\": \"shape\": expected a list of non-negative integers, got [-1]");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[1.5],"data_offsets":[0,1]}})", 1),
            "tensor \"a\": \"shape\": expected a list of non-negative integers, got [1.5]");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":1,"data_offsets":[0,1]}})", 1),
            "tensor \"a\": \"shape\": expected a list of non-negative integers, got 1");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0]}})", 1),
            "tensor \"a\": \"data_offsets\": expected [begin, end] with begin <= end, got [0]");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[1,0]}})", 1),
            "tensor \"a\": \"data_offsets\": expected [begin, end] with begin <= end, got [1,0]");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1],"x":1}})", 1),
            "tensor \"a\": unknown key \"x\"");
  EXPECT_EQ(refusal(R"({"a\n":{"dtype":"Q3","shape":[1],"data_offsets":[0,1]}})", 1),
            "tensor \"a\\x0a\": unknown dtype \"Q3\"");
}

TEST(Safetensors, RefusesSizesThatDoNotFit) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}})", 20),
            "tensor \"a\": shape [2, 3] of F32 needs 24 bytes, data_offsets hold 20");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2),
            "tensor \"a\": shape [3] of F4 needs 2 bytes (and is not a whole number of them), "
            "data_offsets hold 2");
  EXPECT_EQ(
      refusal(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
      "tensor \"a\": shape [4294967296, 4294967296] is too large to address");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7),
            "tensor \"a\": data ends at byte 8, the file has only 7 bytes of data (truncated?)");
  EXPECT_EQ(
      refusal(R"({"a":{"dtype":"I8","shape":[9223372036854775808],"data_offsets":[0,1]}})", 1),
      "tensor \"a\": \"shape\": expected a list of non-negative integers, got "
      "[9223372036854775808]");
}

TEST(Safetensors, RefusesOverlapAndHoles) {
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},
                        "b":{"dtype":"I8","shape":[4],"data_offsets":[3,7]}})",
                    7),
            "tensor \"b\": data overlaps tensor \"a\"");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},
                        "b":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})",
                    4),
            "tensor \"b\": data overlaps tensor \"a\"");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},
                        "b":{"dtype":"I8","shape":[4],"data_offsets":[6,10]}})",
                    10),
            "tensor \"b\": 2 bytes before its data belong to no tensor");
  EXPECT_EQ(refusal(R"({"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})", 9),
            "5 bytes at the end of the file belong to no tensor");
}

TEST(Safetensors, UnusableTypesAreNamed) {
  auto header =
      parse(safetensorsFile(R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1));
  ASSERT_TRUE(header.isOk());
  auto type = usableDType(header->tensors[0], "m.safetensors");
  EXPECT_EQ(type.status().code(), StatusCode::Unsupported);
  EXPECT_EQ(type.status().message(), "m.safetensors: tensor \"a\": element type F8_E4M3 is not "
                                     "supported (F32, BF16, F16 and I32 are)");
}

TEST(Safetensors, OpensFilesAndReadsData) {
  TempDir dir;
  auto file = SafetensorsFile::open(dir.write("m.safetensors", safetensorsFile(kTwo, 28)));
  ASSERT_TRUE(file.isOk()) << file.status().message();
  const SafetensorsTensor &b = *file->header().find("b");
  unsigned char bytes[4];
  ASSERT_TRUE(file->read(b, 20, 4, bytes).isOk());
  EXPECT_EQ(bytes[0], 24);
  EXPECT_EQ(file->read(b, 21, 4, bytes).message(),
            "m.safetensors: tensor \"b\": read outside the tensor's data");
  ASSERT_EQ(::truncate(dir.file("m.safetensors").c_str(), off_t(b.begin + 10)), 0);
  const Status shrunk = file->read(b, 20, 4, bytes);
  EXPECT_EQ(shrunk.code(), StatusCode::Unavailable);
  EXPECT_NE(shrunk.message().find("tensor \"b\": "), std::string::npos);
  EXPECT_NE(shrunk.message().find("shrank"), std::string::npos);
}

TEST(Safetensors, OpenRefusesATruncatedFile) {
  TempDir dir;
  const std::string whole = safetensorsFile(kTwo, 28);
  for (size_t size = 0; size < whole.size(); ++size) {
    auto file = SafetensorsFile::open(dir.write("m.safetensors", whole.substr(0, size)));
    ASSERT_FALSE(file.isOk()) << size;
    EXPECT_EQ(file.status().message().substr(0, 15), "m.safetensors: ") << size;
  }
}

} // namespace
