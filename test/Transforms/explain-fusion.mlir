// The report of Qwen3-0.6B: fused + missed = candidates, at least half of the activation bytes gone,
// the same with one thread and with many; remarks say the same.
// RUN: sinter-opt %models/qwen3/qwen3-0.6b.mlir --xfmr-fusion-pipeline=token-ranges=1,2-max --xfmr-explain-fusion -o %t.many.mlir 2> %t.many
// RUN: sinter-opt %models/qwen3/qwen3-0.6b.mlir --xfmr-fusion-pipeline=token-ranges=1,2-max --xfmr-explain-fusion --mlir-disable-threading -o %t.one.mlir 2> %t.one
// RUN: diff %t.many %t.one
// RUN: diff %t.many.mlir %t.one.mlir
// RUN: FileCheck %s < %t.many

// CHECK:      step_m1_logits, 1 token    kernels/layer 18 -> 6    activation bytes/layer 124.9 KB -> 61.4 KB (-50.8 %)
// CHECK-NEXT:   merged only: 15 kernels/layer, 118.8 KB; kernels in all: 171
// CHECK-NEXT:   fused   merge-qkv                 28 of 28
// CHECK-NEXT:   fused   merge-gate-up             28 of 28
// CHECK-NEXT:   fused   fuse-qk-norm-rope-write   28 of 28
// CHECK-NEXT:   fused   fuse-linear-add           56 of 56
// CHECK-NEXT:   fused   fuse-rms-norm-linear      57 of 57
// CHECK-NEXT:   missed  fuse-add-rms-norm         55 of 55      the add went into the linear before it (cover a)
// CHECK-NEXT: step_m1_argmax, 1 token
// CHECK:        fused   fuse-linear-argmax        1 of 1
// CHECK:      step_m2_{{[0-9]+}}_logits, 2 to {{[0-9]+}} tokens    kernels/layer 18 -> 6    activation bytes/layer/token 124.9 KB

// What did not fuse keeps its count and its reason.
// RUN: sinter-opt %S/Inputs/one-layer.mlir "--xfmr-fusion-pipeline=ranks=2 token-ranges=1 heads=argmax" --xfmr-explain-fusion -o /dev/null 2>&1 | FileCheck %s --check-prefix=RANKS
// RANKS:      step_m1_argmax, 1 token    kernels/layer 20 -> 10
// RANKS:        fused   fuse-qk-norm-rope-write   1 of 1
// RANKS-NEXT:   missed  fuse-linear-add           1 of 2        an all-reduce stands between the linear and the add
// RANKS-NEXT:   missed  fuse-linear-add           1 of 2        the add goes with the norm after it (cover b)
// RANKS-NEXT:   fused   fuse-rms-norm-linear      2 of 3
// RANKS-NEXT:   missed  fuse-rms-norm-linear      1 of 3        the norm goes with the add before it (cover b)
// RANKS-NEXT:   fused   fuse-add-rms-norm         1 of 1
// RANKS-NEXT:   missed  fuse-linear-argmax        1 of 1        an all-gather stands between the linear and the argmax

// A pass that was left out is said to be so.
// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-fuse-linear-add --xfmr-explain-fusion -o /dev/null 2>&1 | FileCheck %s --check-prefix=ALONE
// ALONE: fused   fuse-linear-add           2 of 2
// ALONE: missed  fuse-rms-norm-linear      6 of 6        the pass did not run

// RUN: sinter-opt %S/Inputs/one-layer.mlir --xfmr-fuse-rms-norm-linear --remarks-filter=fusion --remark-format=emitRemark --remark-policy=final -o /dev/null 2>&1 | grep remark | sort | FileCheck %s --check-prefix=REMARK
// REMARK-COUNT-5: [Missed] fuse-rms-norm-linear | Category:fusion | Function=step | Reason="the norm has another user"
// REMARK:         [Passed] fuse-rms-norm-linear | Category:fusion | Function=step
