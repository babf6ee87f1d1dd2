//===- PrefixIndex.h - which page holds which prefix ------------*- C++ -*-===//
//
// A tree of full pages by content. A page's key is a hash of the node before it and of the page's
// token ids; a hit is believed only when the token ids and the node before agree, so that no two
// prefixes are ever confused, however bad the hash.
//
//===----------------------------------------------------------------------===//
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sinter {

using PageId = int32_t;

/// The end of a prefix of whole pages: what follows is looked up under it. `serial` names the entry
/// and is never given out again, so an entry whose predecessor has gone matches nothing any more.
struct PrefixNode {
  uint64_t serial = 0;
  uint64_t hash = 0;
};

/// Where every prefix with this salt starts. Salts are told apart by 63 bits of their SHA-256.
PrefixNode prefixRoot(std::string_view salt);

class PrefixIndex {
public:
  struct Hit {
    PageId page = -1;
    PrefixNode node;
  };

  /// `hashMask` keeps only some bits of every hash: tests make collisions with it.
  explicit PrefixIndex(uint32_t numPages, uint64_t hashMask = ~uint64_t(0))
      : entries_(numPages), hashMask_(hashMask) {}

  /// The page that holds `tokens`, one page full, after `before`.
  std::optional<Hit> find(const PrefixNode &before, std::span<const int32_t> tokens) const;

  struct Added {
    PrefixNode node;
    bool added = false;    ///< false: another page holds the same already
    PageId displaced = -1; ///< whose entry had the same hash and went
  };
  /// Enters a page. It may be there already with these contents, under a node that has gone.
  Added add(const PrefixNode &before, std::span<const int32_t> tokens, PageId page);
  void remove(PageId page);
  bool contains(PageId page) const { return entries_[size_t(page)].serial != 0; }

  size_t size() const { return pageOf_.size(); }

private:
  struct Entry {
    uint64_t serial = 0; ///< 0: none
    uint64_t before = 0; ///< serial of the node before
    uint64_t hash = 0;
    std::vector<int32_t> tokens;
  };

  uint64_t hashOf(const PrefixNode &before, std::span<const int32_t> tokens) const;
  static bool matches(const Entry &entry, const PrefixNode &before,
                      std::span<const int32_t> tokens);

  std::vector<Entry> entries_; ///< by page
  std::unordered_map<uint64_t, PageId> pageOf_;
  uint64_t nextSerial_ = 1;
  uint64_t hashMask_;
};

} // namespace sinter
