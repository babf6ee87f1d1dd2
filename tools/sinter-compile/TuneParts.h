//===- TuneParts.h - what a tune pack measures of a model -------*- C++ -*-===//
#pragma once

#include "sinter/Target/TunePack.h"

namespace sinter {

/// A compilation of the model with passes left out, and the launches wanted of it.
struct TunePart {
  std::vector<std::string> disabled; ///< the first part leaves out none: the linears come from it
  std::vector<TunePack::Wanted> wanted;
};

std::vector<TunePart> tuneParts();
/// Pairs the sequences that the parts have left in `pack`.
void addTuneFusions(TunePack &pack);

} // namespace sinter
