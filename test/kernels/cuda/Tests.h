//===- Tests.h - the parts of the kernel test program -------------*- C++ -*-===//
#pragma once

#include "Gpu.h"
#include "Report.h"

namespace sinter::test {

void testDecode(const Kernels &kernels, Report &report);
void timeDecode(const Kernels &kernels);
/// A short part of testDecode, which every mutant of the kernels must fail.
void quickDecode(const Kernels &kernels, Report &report);

void testQkv(const Kernels &kernels, Report &report);
void timeQkv(const Kernels &kernels);
void quickQkv(const Kernels &kernels, Report &report);

void testPrefill(const Kernels &kernels, Report &report);
void timePrefill(const Kernels &kernels);
void quickPrefill(const Kernels &kernels, Report &report);

void testArgmax(const Kernels &kernels, Report &report);
void timeArgmax(const Kernels &kernels);

void testSampling(const Kernels &kernels, Report &report);
void timeSampling(const Kernels &kernels);
void quickSampling(const Kernels &kernels, Report &report);

} // namespace sinter::test
