//===- Chain.h - layers of kernels under dependent launch -------*- C++ -*-===//
#pragma once

#include "LinearCase.h"

namespace sinter::test {

/// Layers of qkv, o, gate_up, down whose weights differ, buffers reused: with overlap and random
/// delays the same bits as without overlap, in `rounds` rounds; and without the wait not. Kernels
/// "chain_qkv", "chain_qkv_delays", "chain_qkv_nowait" .. for one token, "chain32_qkv" .. for 32,
/// 128, where the manifest has them. Returns failures.
int stressChains(const Kernels &kernels, const std::vector<Entry> &entries, int rounds);

/// Whether the manifest has a chain and the pair below.
bool holdsStress(const std::vector<Entry> &entries);

/// The two-op persistent kernel "pair" against "pair_first" and "pair_second". Returns failures.
int comparePair(const Kernels &kernels, const std::vector<Entry> &entries);

/// Microseconds of every entry with the flag `time`, weights rotated beyond the L2.
void timeAll(const Kernels &kernels, const std::vector<Entry> &entries);

/// Microseconds per layer of the chains.
void timeChains(const Kernels &kernels, const std::vector<Entry> &entries);

/// Looks for the fastest of the variants "chain32_qkv_v..." that the manifest has, chain by chain.
void tuneChains(const Kernels &kernels, const std::vector<Entry> &entries);

} // namespace sinter::test
