// The passes on the committed graphs: what the merges make possible, and what works without them.
// RUN: sinter-opt %models/qwen3/qwen3-0.6b.mlir --xfmr-fuse-rms-norm-linear | FileCheck %s --check-prefix=ALONE
// RUN: sinter-opt %models/qwen3/qwen3-0.6b.mlir --xfmr-merge-qkv --xfmr-merge-gate-up --xfmr-fuse-rms-norm-linear | FileCheck %s --check-prefix=MERGED

// Before the merges every norm but the last has two or three users.
// ALONE-COUNT-1: xfmr.rms_norm_linear
// ALONE-NOT: xfmr.rms_norm_linear

// 28 layers: q/k/v and gate/up, then the head.
// MERGED-COUNT-56: xfmr.rms_norm_{{linear|swiglu}}
// MERGED: xfmr.rms_norm_linear {{.*}} -> tensor<?x151936xf32>
// MERGED-NOT: xfmr.rms_norm_{{linear|swiglu}}
