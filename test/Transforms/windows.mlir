// The window of attention survives every pass: shards, merges, specialisations, fusions, the plan.
// RUN: sed "/xfmr.attention/s/scale = /window = 7 : i32, scale = /" %S/Inputs/one-layer.mlir > %t.mlir
// RUN: sinter-opt %t.mlir --xfmr-shard=ranks=2 | FileCheck %s
// RUN: sinter-opt %t.mlir --xfmr-merge-qkv --xfmr-fuse-qk-norm-rope-write | FileCheck %s --check-prefixes=CHECK,FUSED
// RUN: sinter-opt %t.mlir "--xfmr-fusion-pipeline=token-ranges=1,2-max heads=argmax" | FileCheck %s --check-prefixes=CHECK,BOTH
// RUN: sinter-opt %t.mlir "--xfmr-fusion-pipeline=ranks=2 token-ranges=1,2-max heads=argmax" | FileCheck %s --check-prefixes=CHECK,BOTH

// FUSED: xfmr.qk_norm_rope_write
// CHECK: xfmr.attention {{.*}}scale = {{.*}} : f32, window = 7 : i32
// BOTH:  xfmr.attention {{.*}}scale = {{.*}} : f32, window = 7 : i32
