//===- Sha256Test.cpp - SHA-256 -------------------------------------------===//
#include "sinter/Support/Sha256.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

using namespace sinter;

namespace {

std::string hashOf(const std::string &text) { return toHex(Sha256::of(text.data(), text.size())); }

// NIST's example messages for SHA-256 (FIPS 180-4 and the CAVP short messages).
TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(hashOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hashOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hashOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(
      hashOf("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq"
             "klmnopqrlmnopqrsmnopqrstnopqrstu"),
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(hashOf(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameDigest) {
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += char(i * 7 + i / 256);
  const std::string whole = hashOf(text);
  for (size_t piece : {1u, 3u, 55u, 63u, 64u, 65u, 127u, 999u}) {
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += piece)
      hash.update(text.data() + at, std::min(piece, text.size() - at));
    EXPECT_EQ(toHex(hash.finish()), whole) << piece;
  }
}

// The digests above come from whichever function this CPU selects; this ties the portable one to
// the same published value.
TEST(Sha256, PortableFunctionMatchesPublishedVector) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::vector<uint8_t> block(64, 0);
  block[0] = 'a', block[1] = 'b', block[2] = 'c', block[3] = 0x80, block[63] = 24;
  Sha256::compressPortable(state, block.data(), 1);
  const uint32_t want[8] = {0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223,
                            0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad};
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(state[i], want[i]) << i;
}

} // namespace
