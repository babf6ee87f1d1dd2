//===- Sampling.cuh - drawing tokens on the GPU ------------------------*- CUDA -*-===//
//
// Contract in Sampling.h.
//
//===----------------------------------------------------------------------===//
#pragma once

#include "SamplingEdits.cuh"
#include "Scan.cuh"

namespace sinter::kernels {

static_assert(kSampleThreads == kPlanThreads, "runningSum() is over a block");

//===--- numbers ---===//

SINTER_DEVICE u32 atomicAddShared(u32 *p, u32 value) {
  u32 old;
  asm volatile("atom.shared.add.u32 %0, [%1], %2;"
               : "=r"(old)
               : "r"(sharedAddress(p)), "r"(value)
               : "memory");
  return old;
}

/// Rounded on its own: the host does not fuse it with what follows either.
SINTER_DEVICE double product(double a, double b) {
  double r;
  asm("mul.rn.f64 %0, %1, %2;" : "=d"(r) : "d"(a), "d"(b));
  return r;
}
SINTER_DEVICE double fused(double a, double b, double c) {
  double r;
  asm("fma.rn.f64 %0, %1, %2, %3;" : "=d"(r) : "d"(a), "d"(b), "d"(c));
  return r;
}
SINTER_DEVICE double powerOfTwo(int exponent) {
  double r;
  asm("mov.b64 %0, {%1, %2};" : "=d"(r) : "r"(0), "r"((exponent + 1023) << 20));
  return r;
}

/// e^x for x <= 0; subnormal results included.
SINTER_DEVICE double expOfNegative(double x) {
  if (!(x > -746.0))
    return 0;
  const int n = int(x * 1.4426950408889634 - 0.5);
  // x - n * ln 2, whose upper part has zeros at its end: the first product is exact.
  const double r =
      fused(double(-n), 1.9082149292705877e-10, fused(double(-n), 0.6931471803691238, x));
  double sum = 1.0 / 6227020800.0;
  sum = fused(sum, r, 1.0 / 479001600.0);
  sum = fused(sum, r, 1.0 / 39916800.0);
  sum = fused(sum, r, 1.0 / 3628800.0);
  sum = fused(sum, r, 1.0 / 362880.0);
  sum = fused(sum, r, 1.0 / 40320.0);
  sum = fused(sum, r, 1.0 / 5040.0);
  sum = fused(sum, r, 1.0 / 720.0);
  sum = fused(sum, r, 1.0 / 120.0);
  sum = fused(sum, r, 1.0 / 24.0);
  sum = fused(sum, r, 1.0 / 6.0);
  sum = fused(sum, r, 0.5);
  sum = fused(sum, r, 1.0);
  sum = fused(sum, r, 1.0);
  const int half = n / 2; // 2^n itself may be too small for a normal number
  return product(product(sum, powerOfTwo(half)), powerOfTwo(n - half));
}

/// uniform(seed, position, 0) of sinter/Support/Philox.h, which device code cannot include.
SINTER_DEVICE double uniformOf(u64 seed, u64 position) {
  u32 c0 = u32(position), c1 = u32(position >> 32), c2 = 0, c3 = 0;
  u32 k0 = u32(seed), k1 = u32(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const u64 p0 = u64(0xd2511f53u) * c0, p1 = u64(0xcd9e8d57u) * c2;
    c0 = u32(p1 >> 32) ^ c1 ^ k0;
    c1 = u32(p1);
    c2 = u32(p0 >> 32) ^ c3 ^ k1;
    c3 = u32(p0);
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return double(float(c0 >> 8) * 0x1p-24f);
}

/// Whether (a, i) comes before (b, j): the larger value, of equals the lower id.
SINTER_DEVICE bool comesBefore(float a, int i, float b, int j) { return a > b || (a == b && i < j); }

SINTER_DEVICE int topKOf(const SinterSampling &p) {
  return minOf(maxOf(int(p.top_k), 1), kSampleMost);
}

//===--- top ---===//

/// A slice of a row and the block that changes it and lists its largest logits.
class SampleSlice {
public:
  SINTER_DEVICE SampleSlice(float *x, int begin, int end, SampleTopShared &shared, SampleList &list)
      : x(x), begin(begin), end(end), s(shared), list(list) {}

  /// All that is not below the slice's k-th largest logit, as far as the list goes.
  SINTER_DEVICE void run(const SinterSampling &p) {
    const int k = topKOf(p);
    if (p.num_edits != 0) {
      editLogits(x, begin, end, p);
      syncThreads(); // other threads' logits as well
    }
    bool finite = true;
    const float mine = largest(p.allowed, finite);
    s.most[threadIndex()] = mine;
    if (threadIndex() == 0) {
      s.gathered = 0;
      s.bad = 0;
    }
    syncThreads();
    if (!finite)
      s.bad = 1;
    // At least k logits are no less than the k-th largest of the threads' largest ones.
    if (rankAmongThreads(mine) == k - 1)
      s.threshold = mine;
    syncThreads();
    if (s.bad != 0) {
      finish(0);
      if (threadIndex() == 0)
        list.value[0] = asFloat(0x7fc00000u);
      return;
    }
    const float threshold = s.threshold;
    if (mine >= threshold)
      for (int i = begin + threadIndex(); i < end; i += kSampleThreads)
        if (const float v = x[i]; v >= threshold)
          gather(v, i);
    syncThreads();
    if (s.gathered > u32(kSampleGathered))
      return selectByBits(); // few threads had most of what is large
    finish(int(s.gathered));
  }

private:
  /// Whatever is not allowed is taken out on the way, in memory as well.
  SINTER_DEVICE float largest(const u32 *allowed, bool &finite) const {
    constexpr int kTogether = 8; // loads in flight
    constexpr float kLeast = -3.402823466e38f;
    float most = kLeast;
    for (int first = begin + threadIndex(); first < end; first += kTogether * kSampleThreads) {
      float v[kTogether];
#pragma unroll
      for (int j = 0; j < kTogether; ++j)
        v[j] = first + j * kSampleThreads < end ? x[first + j * kSampleThreads] : kLeast;
#pragma unroll
      for (int j = 0; j < kTogether; ++j)
        finite = finite && isFinite(v[j]);
      if (allowed)
        forbidLogits<kTogether>(x, first, end, allowed, v);
#pragma unroll
      for (int j = 0; j < kTogether; ++j)
        most = maxOf(most, v[j]);
    }
    return most;
  }

  SINTER_DEVICE int rankAmongThreads(float mine) const {
    int rank = 0;
#pragma unroll 8
    for (int t = 0; t < kSampleThreads; ++t)
      rank += comesBefore(s.most[t], t, mine, threadIndex());
    return rank;
  }

  SINTER_DEVICE void gather(float v, int i) {
    const int slot = int(atomicAddShared(&s.gathered, 1));
    if (slot >= kSampleGathered)
      return;
    s.value[slot] = v;
    s.id[slot] = i;
  }

  /// The gathered, sorted, to the list; what stays empty behind `filled` of it is marked.
  SINTER_DEVICE void finish(int filled) {
    for (int i = threadIndex(); i < filled; i += kSampleThreads) {
      const float v = s.value[i];
      const int id = s.id[i];
      int rank = 0;
      for (int j = 0; j < filled; ++j)
        rank += comesBefore(s.value[j], s.id[j], v, id);
      if (rank < kSampleList) {
        list.value[rank] = v;
        list.id[rank] = id;
      }
    }
    for (int i = filled + threadIndex(); i < kSampleList; i += kSampleThreads)
      list.value[i] = minusInfinity();
  }

  /// Numbers in the order of the floats; both zeros are one.
  SINTER_DEVICE static u32 orderOf(float v) {
    const u32 bits = asBits(v + 0.0f);
    return bits ^ (bits >> 31 != 0 ? 0xffffffffu : 0x80000000u);
  }

  SINTER_DEVICE u32 countFrom(u32 least) {
    u32 count = 0;
    for (int i = begin + threadIndex(); i < end; i += kSampleThreads)
      count += orderOf(x[i]) >= least;
    syncThreads(); // the last count has been read
    if (threadIndex() == 0)
      s.counted = 0;
    syncThreads();
    atomicAddShared(&s.counted, count);
    syncThreads();
    return s.counted;
  }

  /// A full list for any input: its last value found bit by bit, then what is larger, then of what
  /// equals it the lowest ids.
  SINTER_DEVICE void selectByBits() {
    u32 last = 0;
    for (u32 bit = 0x80000000u; bit != 0; bit >>= 1)
      if (countFrom(last | bit) >= u32(kSampleList))
        last |= bit;
    if (threadIndex() == 0)
      s.gathered = 0;
    syncThreads();
    for (int i = begin + threadIndex(); i < end; i += kSampleThreads)
      if (const float v = x[i]; orderOf(v) > last)
        gather(v, i);
    syncThreads();
    int filled = int(s.gathered);
    finish(filled);
    syncThreads(); // the marks behind it are written before what replaces them
    for (int first = begin; first < end && filled < kSampleList; first += kSampleThreads) {
      const int i = first + threadIndex();
      const bool equal = i < end && orderOf(x[i]) == last;
      int total;
      const int slot = filled + runningSum(int(equal), total) - 1; // its memory is that of `most`
      if (equal && slot < kSampleList) {
        list.value[slot] = x[i];
        list.id[slot] = i;
      }
      filled += total;
    }
  }

  float *x; ///< the whole row
  int begin, end;
  SampleTopShared &s;
  SampleList &list;
};

SINTER_DEVICE void sampleTop(const SampleArgs &a) {
  launchDependents();
  waitForPredecessors();
  SampleTopShared &shared = *reinterpret_cast<SampleTopShared *>(dynamicShared);
  const int piece = ceilDiv(a.vocabulary, kSampleSlices);
  for (int item = blockIndex(); item < a.rows * kSampleSlices; item += gridSize()) {
    const int row = item / kSampleSlices;
    const int begin = minOf(a.vocabulary, (item - row * kSampleSlices) * piece);
    SampleSlice slice(a.logits + u64(u32(row)) * u32(a.vocabulary), begin,
                      minOf(a.vocabulary, begin + piece), shared, a.lists[item]);
    syncThreads(); // shared memory changes its owner
    slice.run(a.sampling[row]);
  }
}

//===--- draw ---===//

/// What top-k leaves of a row, by logit or by id.
struct SampleCandidates {
  const SampleDrawShared &s;
  const float *x;
  int vocabulary;
  float kth;
  double temperature;
  int count;  ///< above kSampleMost: too many ties with the k-th to be in shared memory
  int strict; ///< that are above the k-th, where there are too many

  struct Item {
    double weight; ///< exp((logit - largest) / temperature), below 0: nothing is here
    float logit;
    int id;
  };

  SINTER_DEVICE bool tooMany() const { return count > kSampleMost; }
  SINTER_DEVICE int places(bool sorted) const {
    return !tooMany() ? count : sorted ? strict + vocabulary : vocabulary;
  }
  SINTER_DEVICE double weightOf(float logit) const {
    return expOfNegative((double(logit) - double(s.sortedValue[0])) / temperature);
  }
  SINTER_DEVICE Item at(int place, bool sorted) const {
    if (!tooMany() || (sorted && place < strict)) {
      const int i = sorted ? place : s.byId[place];
      return {s.weight[i], s.sortedValue[i], s.sortedId[i]};
    }
    const int id = sorted ? place - strict : place;
    const float logit = x[id];
    if (logit == kth)
      return {s.weight[strict], logit, id};
    return {!sorted && logit > kth ? weightOf(logit) : -1.0, logit, id};
  }

  /// Top-p, min-p and the draw, step by step as in the reference.
  SINTER_DEVICE Item draw(const SinterSampling &p) const {
    const bool sorted = p.top_p < 1;
    int end = places(sorted);
    if (sorted) {
      double total = 0, before = 0;
      for (int i = 0; i < places(false); ++i)
        if (const double weight = at(i, false).weight; weight >= 0)
          total += weight;
      const double wanted = product(p.top_p, total);
      int kept = 0;
      for (; kept < end && (kept == 0 || before < wanted); ++kept)
        if (const double weight = at(kept, true).weight; weight >= 0)
          before += weight;
      end = kept;
    }
    double total = 0;
    for (int i = 0; i < end; ++i)
      if (const double weight = at(i, sorted).weight; weight >= p.min_p)
        total += weight;
    double left = product(uniformOf(p.seed, p.position), total);
    Item last = at(0, sorted);
    for (int i = 0; i < end; ++i) {
      const Item item = at(i, sorted);
      if (item.weight < p.min_p)
        continue;
      left -= item.weight;
      if (left < 0)
        return item;
      if (item.weight > 0)
        last = item;
    }
    return last; // rounding left a crumb at the end
  }
};

/// The block that draws a row's token.
class SampleRow {
public:
  SINTER_DEVICE SampleRow(const SampleArgs &a, int row, SampleDrawShared &shared)
      : a(a), p(a.sampling[row]), lists(a.lists + row * kSampleSlices), row(row), s(shared) {}

  SINTER_DEVICE void run() {
    const int k = topKOf(p);
    readHeads(k);
    if (s.bad != 0)
      return write(asFloat(0x7fc00000u), 0);
    sort();
    if (s.gathered == 0)
      return write(minusInfinity(), 0);
    if (p.temperature == 0)
      return write(s.sortedValue[0], s.sortedId[0]);
    const int gathered = int(s.gathered), shown = minOf(gathered, kSampleMost + 1);
    const float kth = gathered >= k ? s.sortedValue[k - 1] : minusInfinity();
    int count = 0, strict = 0;
    for (int i = 0; i < shown; ++i) {
      count += s.sortedValue[i] >= kth;
      strict += s.sortedValue[i] > kth;
    }
    const SampleCandidates candidates{s,           a.logits + u64(u32(row)) * u32(a.vocabulary),
                                      a.vocabulary, kth,
                                      p.temperature, count,
                                      strict};
    weigh(candidates);
    if (threadIndex() != 0)
      return;
    const SampleCandidates::Item drawn = candidates.draw(p);
    write(drawn.logit, drawn.id);
  }

private:
  /// What is certainly not above the row's k-th logit: the k-th of any slice, and what `slices` of
  /// them have `depth` logits not below of. Only the second leaves few to sort where all slices are
  /// alike.
  SINTER_DEVICE void readHeads(int k) {
    static_assert(kSampleSlices == 32, "a lane looks at a slice");
    if (threadIndex() < kSampleSlices) {
      const SampleList &list = lists[threadIndex()];
      const int depth = ceilDiv(k, kSampleSlices), slices = ceilDiv(k, depth);
      const float first = list.value[0], deep = list.value[depth - 1];
      float bound = list.value[k - 1];
      int rank = 0;
#pragma unroll
      for (int slice = 0; slice < kSampleSlices; ++slice)
        rank += comesBefore(asFloat(u32(shuffleIndex(int(asBits(deep)), slice))), slice, deep,
                            threadIndex());
      if (rank == slices - 1)
        bound = maxOf(bound, deep);
#pragma unroll
      for (int mask = 16; mask > 0; mask >>= 1)
        bound = maxOf(bound, shuffleXor(bound, mask));
      const bool bad = anyInWarp(first != first);
      if (threadIndex() == 0) {
        s.bound = bound;
        s.bad = bad;
        s.gathered = 0;
      }
    }
    syncThreads();
  }

  /// The largest logits of the row in order.
  SINTER_DEVICE void sort() {
    const float bound = s.bound;
    constexpr int kRounds = kSampleSlices * kSampleList / kSampleThreads;
    static_assert(kRounds * kSampleThreads == kSampleSlices * kSampleList, "whole rounds");
    float v[kRounds];
#pragma unroll
    for (int j = 0; j < kRounds; ++j) {
      const int i = j * kSampleThreads + threadIndex(), slice = i / kSampleList;
      v[j] = lists[slice].value[i - slice * kSampleList];
    }
#pragma unroll
    for (int j = 0; j < kRounds; ++j)
      if (v[j] >= bound && v[j] > minusInfinity()) {
        const int i = j * kSampleThreads + threadIndex(), slice = i / kSampleList;
        const u32 slot = atomicAddShared(&s.gathered, 1);
        s.value[slot] = v[j];
        s.id[slot] = lists[slice].id[i - slice * kSampleList];
      }
    syncThreads();
    const int gathered = int(s.gathered);
    for (int i = threadIndex(); i < gathered; i += kSampleThreads) {
      int rank = 0;
      for (int j = 0; j < gathered; ++j)
        rank += comesBefore(s.value[j], s.id[j], s.value[i], s.id[i]);
      if (rank <= kSampleMost) {
        s.sortedValue[rank] = s.value[i];
        s.sortedId[rank] = s.id[i];
      }
    }
    syncThreads();
  }

  SINTER_DEVICE void weigh(const SampleCandidates &candidates) {
    const int i = threadIndex(), count = minOf(candidates.count, kSampleMost);
    if (i < count) {
      s.weight[i] = candidates.weightOf(s.sortedValue[i]);
      int place = 0;
      for (int j = 0; j < count; ++j)
        place += s.sortedId[j] < s.sortedId[i];
      s.byId[place] = i;
    }
    syncThreads();
  }

  SINTER_DEVICE void write(float logit, int id) {
    if (threadIndex() != 0)
      return;
    a.value[row] = logit;
    a.index[row] = id;
    a.feedback[row] = id;
  }

  const SampleArgs &a;
  const SinterSampling &p;
  const SampleList *lists;
  int row;
  SampleDrawShared &s;
};

SINTER_DEVICE void sampleDraw(const SampleArgs &a) {
  launchDependents();
  waitForPredecessors();
  SampleDrawShared &shared = *reinterpret_cast<SampleDrawShared *>(dynamicShared);
  for (int row = blockIndex(); row < a.rows; row += gridSize()) {
    syncThreads(); // shared memory changes its owner
    SampleRow(a, row, shared).run();
  }
}

} // namespace sinter::kernels
