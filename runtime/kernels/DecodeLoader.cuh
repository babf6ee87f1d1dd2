//===- DecodeLoader.cuh - a warp's stream of K and V tiles -------------*- CUDA -*-===//
//
// Walks the warp's tiles of all its items, ahead of the arithmetic, and copies them to the warp's
// ring. The order of copies is K tile, V tile, K tile, ...; each is one cp.async group, empty once
// the work has run out, so that counting groups tells what has arrived, or completes on the tile's
// mbarrier (decodeUsesBulk).
//
//===----------------------------------------------------------------------===//
#pragma once

#include "AsyncCopy.cuh"
#include "DecodeMath.cuh"

namespace sinter::kernels {

template <class Cache, int kDim, int kWarps, bool kBulk, bool kWindow> class DecodeLoader {
  using Shape = TileShape<Cache, kDim>;
  static constexpr int kRow = kDim * Cache::kBytes;

public:
  SINTER_DEVICE DecodeLoader(const DecodeArgs &args, int items, int warp, int lane)
      : a(args), items(items), warp(warp), lane(lane) {
    ahead.item = blockIndex();
    readWork();
    step();
    step();
    skipEmpty();
  }

  /// Whether the tile was written in earlier steps.
  SINTER_DEVICE bool isOld() const {
    return now.item >= items || minOf(now.begin + kTile, now.end) <= now.old;
  }

  SINTER_DEVICE void loadK(u32 slot, u32 barrier) const {
    load(slot, barrier, a.k, a.k_packed != 0);
  }
  SINTER_DEVICE void loadV(u32 slot, u32 barrier) const { load(slot, barrier, a.v, false); }

  SINTER_DEVICE void advance() {
    if (now.item >= items)
      return;
    now.begin += kWarps * kTile;
    if (now.begin >= now.end) {
      step();
      skipEmpty();
    } else {
      findPages();
    }
  }

private:
  /// The warp's part of an item that is left: tiles from `begin`, page ids of 32 pages in the
  /// lanes.
  struct Part {
    int item = 0, head = 0, seq = 0, begin = 0, end = 0, old = 0;
    int firstPage = 0, pages = -1;
  };

  /// Does not wait to learn how many entries there are; what lies past them is not used.
  SINTER_DEVICE void readWork() {
    const int entry = ahead.item / a.kv_heads;
    if (entry >= a.max_entries)
      return;
    const DecodeWork &work = a.work[entry];
    ahead.head = ahead.item - entry * a.kv_heads;
    ahead.seq = work.seq;
    ahead.begin = work.kv_begin + warp * kTile;
    ahead.end = work.kv_end;
    ahead.old = work.old_end;
  }

  SINTER_DEVICE void readPages(Part &part) const {
    const int index = (part.begin >> a.page_log2) + lane;
    part.firstPage = part.begin >> a.page_log2;
    if (part.item < items && (index << a.page_log2) < part.end)
      part.pages = a.block_table[u64(u32(part.seq)) * u32(a.block_table_stride) + u32(index)];
  }

  /// One item further. Its work entry was asked for two items ago and its page ids one item ago:
  /// neither is waited for here.
  SINTER_DEVICE void step() {
    now = next;
    next = ahead;
    readPages(next);
    ahead.item += gridSize();
    readWork();
  }

  /// To the next item in which the warp has a tile.
  SINTER_DEVICE void skipEmpty() {
    while (now.item < items && now.begin >= now.end)
      step();
    if (now.item < items)
      findPages();
  }

  /// Page ids of both halves of the tile.
  SINTER_DEVICE void findPages() {
    const int first = now.begin >> a.page_log2, second = (now.begin + 8) >> a.page_log2;
    if (second >= now.firstPage + 32)
      readPages(now);
    page[0] = shuffleIndex(now.pages, first - now.firstPage);
    page[1] = shuffleIndex(now.pages, second - now.firstPage);
  }

  SINTER_DEVICE void load(u32 slot, u32 barrier, const void *stream, bool packed) const {
    if (now.item < items) {
      const u8 *from =
          static_cast<const u8 *>(stream) + u64(now.head) * u32(kRow << a.page_log2);
      if constexpr (kBulk)
        copyWhole(slot, barrier, from);
      else
        copy(slot, from, packed);
    }
    if constexpr (!kBulk)
      cpAsyncCommit();
  }

  /// Rows past the end are whatever the page has there.
  SINTER_DEVICE void copyWhole(u32 slot, u32 barrier, const u8 *stream) const {
    if (lane != 0)
      return;
    const bool inOne = a.page_log2 >= 4, two = !inOne && now.begin + 8 < now.end;
    const u32 half = 8 * kRow, first = u32(now.begin) & ((1u << a.page_log2) - 1);
    if constexpr (kWindow)
      if (page[0] < 0) { // it has left the window: nobody looks at what the slot has in its place
        expectBytes(barrier, two && page[1] >= 0 ? half : 0);
        if (two && page[1] >= 0)
          copyBulk(slot + half, stream + u64(u32(page[1])) * a.page_bytes, half, barrier);
        return;
      }
    expectBytes(barrier, inOne || two ? 2 * half : half);
    copyBulk(slot, stream + u64(u32(page[0])) * a.page_bytes + first * u32(kRow),
             inOne ? 2 * half : half, barrier);
    if (two)
      copyBulk(slot + half, stream + u64(u32(page[1])) * a.page_bytes, half, barrier);
  }

  SINTER_DEVICE void copy(u32 slot, const u8 *stream, bool packed) const {
    const u32 mask = (1u << a.page_log2) - 1;
    const u32 perKey = packed ? 16u : u32(kRow);
    const u32 perChunk = packed ? 16u << a.page_log2 : 16u;
    const u8 *half[2];
#pragma unroll
    for (int h = 0; h < 2; ++h)
      half[h] = stream + u64(u32(maxOf(page[h], 0))) * a.page_bytes +
                ((u32(now.begin) + 8u * u32(h)) & mask) * perKey;
#pragma unroll
    for (int j = 0; j < (kTile * Shape::kChunks + 31) / 32; ++j) {
      const int index = j * 32 + lane;
      // Neighbouring lanes read neighbouring 16 bytes of memory in either layout.
      const int key = packed ? index % kTile : index / Shape::kChunks;
      const int chunk = packed ? index / kTile : index % Shape::kChunks;
      const bool there = now.begin + key < now.end && (key >= 8 ? page[1] : page[0]) >= 0;
      if (kTile * Shape::kChunks % 32 == 0 || index < kTile * Shape::kChunks)
        cpAsync16(slot + u32(key * Shape::kRowBytes + chunk * 16),
                  (key >= 8 ? half[1] : half[0]) + u32(key & 7) * perKey + u32(chunk) * perChunk,
                  there ? 16 : 0);
    }
  }

  const DecodeArgs &a;
  int items, warp, lane;
  Part now, next, ahead;
  int page[2] = {-1, -1};
};

} // namespace sinter::kernels
