//===- Chain.h - layers of kernels under dependent launch -------*- C++ -*-===//
#pragma once

#include "LinearCase.h"

namespace sinter::test {

/// Layers of qkv, o, gate_up, down whose weights differ, buffers reused: with overlap and random
/// delays the same bits as without overlap, in `rounds` rounds; and without the wait not.
/// `suffix` picks the kernels "chain_qkv<suffix>" .. of the manifest. Returns failures.
int stressChain(const Kernels &kernels, const std::vector<Entry> &entries, int rounds);

/// The two-op persistent kernel "pair" against "pair_first" and "pair_second". Returns failures.
int comparePair(const Kernels &kernels, const std::vector<Entry> &entries);

/// Microseconds of every entry with the flag `time`, weights rotated beyond the L2.
void timeAll(const Kernels &kernels, const std::vector<Entry> &entries);

/// Microseconds per layer of the chain.
void timeChain(const Kernels &kernels, const std::vector<Entry> &entries);

} // namespace sinter::test
