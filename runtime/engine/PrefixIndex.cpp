//===- PrefixIndex.cpp ----------------------------------------------------===//
#include "runtime/engine/PrefixIndex.h"

#include "sinter/Support/Sha256.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace sinter {
namespace {

/// The finaliser of MurmurHash3: every input bit changes half of the output bits.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
  return x ^ (x >> 33);
}

} // namespace

PrefixNode prefixRoot(std::string_view salt) {
  const Sha256Digest digest = Sha256::of(salt.data(), salt.size());
  PrefixNode root;
  std::memcpy(&root.serial, digest.data(), sizeof root.serial);
  root.serial |= uint64_t(1) << 63; // entries count from 1 and never get there
  root.hash = mix(root.serial);
  return root;
}

uint64_t PrefixIndex::hashOf(const PrefixNode &before, std::span<const int32_t> tokens) const {
  uint64_t hash = before.hash;
  for (const int32_t token : tokens)
    hash = mix(hash + 0x9e3779b97f4a7c15u + uint32_t(token));
  return hash & hashMask_;
}

bool PrefixIndex::matches(const Entry &entry, const PrefixNode &before,
                          std::span<const int32_t> tokens) {
  return entry.before == before.serial &&
         std::equal(entry.tokens.begin(), entry.tokens.end(), tokens.begin(), tokens.end());
}

std::optional<PrefixIndex::Hit> PrefixIndex::find(const PrefixNode &before,
                                                  std::span<const int32_t> tokens) const {
  const auto found = pageOf_.find(hashOf(before, tokens));
  if (found == pageOf_.end())
    return std::nullopt;
  const Entry &entry = entries_[size_t(found->second)];
  if (!matches(entry, before, tokens))
    return std::nullopt;
  return Hit{found->second, {entry.serial, entry.hash}};
}

PrefixIndex::Added PrefixIndex::add(const PrefixNode &before, std::span<const int32_t> tokens,
                                    PageId page) {
  Added result;
  const uint64_t hash = hashOf(before, tokens);
  if (const auto found = pageOf_.find(hash); found != pageOf_.end()) {
    const Entry &old = entries_[size_t(found->second)];
    if (matches(old, before, tokens)) {
      result.node = {old.serial, old.hash};
      return result;
    }
    result.displaced = found->second;
    remove(found->second);
  }
  assert(!contains(page) && "a page holds one prefix");
  Entry &entry = entries_[size_t(page)];
  entry.serial = nextSerial_++;
  entry.before = before.serial;
  entry.hash = hash;
  entry.tokens.assign(tokens.begin(), tokens.end());
  pageOf_.emplace(hash, page);
  result.node = {entry.serial, hash};
  result.added = true;
  return result;
}

void PrefixIndex::remove(PageId page) {
  Entry &entry = entries_[size_t(page)];
  if (entry.serial == 0)
    return;
  pageOf_.erase(entry.hash);
  entry.serial = 0;
  entry.tokens.clear();
}

} // namespace sinter
