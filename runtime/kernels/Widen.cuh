//===- Widen.cuh - numbers of an fp8 cache as 16-bit ones --------------*- CUDA -*-===//
#pragma once

#include "Wgmma.cuh"

namespace sinter::kernels {

/// Two numbers (low 16 bits) as two of `Type`; exact.
template <class Type, class Cache> SINTER_DEVICE u32 widenedPair(u32 narrowPair) {
  const u32 pair = Cache::toF16(narrowPair);
  if constexpr (IsSame<Type, F16>::value)
    return pair;
  else
    return Type::pack(f16Low(pair), f16High(pair));
}

/// Eight of them.
template <class Type, class Cache> SINTER_DEVICE U32x4 widened(u32 low, u32 high) {
  return {{widenedPair<Type, Cache>(low), widenedPair<Type, Cache>(low >> 16),
           widenedPair<Type, Cache>(high), widenedPair<Type, Cache>(high >> 16)}};
}

/// A tile of 128 rows of 128 numbers in the registers of a warpgroup, between memory and an operand
/// of wgmma: thread t has columns 16 (t % 8) .. + 15 of rows t / 8 + 16 i. As a piece leaves, the
/// one of the next tile is asked for, so that about a tile is always under way.
template <class Type, class Cache> class WidenedTile {
public:
  /// Rows of one head that lie in pages, from position `key` on; those from `end` on or without a
  /// page are zero.
  struct Source {
    const u8 *stream; ///< the head's in page 0; null: there is no tile
    u64 page_bytes;
    int key, end, pages, page_log2; ///< lane l has the id of the tile's page l, or -1
  };

  SINTER_DEVICE void ask(const Source &from) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
      askPiece(from, i);
  }

  /// To groups of eight rows, each in two panels of 64 columns, `group` bytes a panel.
  SINTER_DEVICE void leave(u32 to, u32 group, const Source &next) {
    const int chunk = threadIndex() % 8, row = threadIndex() / 8 & 15;
    // Panels begin in the same bank: threads of one leave their even chunk first, the others' last.
    const bool flips = chunk >= 4;
    to += (u32(row / 8) * 2 + u32(flips)) * group;
    const u32 even = to + swizzled(row & 7, 2 * chunk & 7);
    const u32 odd = to + swizzled(row & 7, (2 * chunk & 7) | 1);
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const U32x4 &x = piece[i];
      const u32 at = u32(i) * 4 * group;
      storeShared128((flips ? odd : even) + at,
                     widened<Type, Cache>(flips ? x.v[2] : x.v[0], flips ? x.v[3] : x.v[1]));
      storeShared128((flips ? even : odd) + at,
                     widened<Type, Cache>(flips ? x.v[0] : x.v[2], flips ? x.v[1] : x.v[3]));
      askPiece(next, i);
    }
  }

private:
  static constexpr int kPieces = 8;

  SINTER_DEVICE void askPiece(const Source &from, int i) {
    const int row = (threadIndex() / 8 & 15) + 16 * i;
    const int id = shuffleIndex(from.pages, row >> from.page_log2);
    const int within = row & ((1 << from.page_log2) - 1);
    piece[i] = loadL2x4(from.stream + u64(u32(id)) * from.page_bytes +
                            u32(within * 128 + threadIndex() % 8 * 16),
                        from.stream && from.key + row < from.end && id >= 0);
  }

  U32x4 piece[kPieces];
};

} // namespace sinter::kernels
