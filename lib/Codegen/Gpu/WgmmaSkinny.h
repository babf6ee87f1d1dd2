//===- WgmmaSkinny.h - few tokens on Hopper's tensor cores ------*- C++ -*-===//
#pragma once

#include "WgmmaRing.h"

namespace sinter::gpu {

/// Rows of W are the m64 operand; the CTAs of a cluster share a tile and split K.
class WgmmaSkinnyTemplate : public WgmmaRing {
public:
  WgmmaSkinnyTemplate(LinearSpec spec, const LinearTuning &tuning);

protected:
  void begin(GpuBuilder &b, const Place &place) override;
  void end(GpuBuilder &b, const Place &place, Values &accumulators) override;
  void finish(GpuBuilder &b, Value stream) override;

private:
  void results(GpuBuilder &b, const Place &place);
};

} // namespace sinter::gpu
