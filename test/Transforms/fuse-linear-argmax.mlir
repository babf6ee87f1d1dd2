// argmax(linear(x, W)) -> linear_argmax(x, W), with the final norm in either order of the passes.
// RUN: sinter-opt %s --xfmr-fuse-linear-argmax > %t.once
// RUN: FileCheck %s < %t.once
// RUN: sinter-opt %t.once --xfmr-fuse-linear-argmax > %t.twice
// RUN: diff %t.once %t.twice
// RUN: sinter-opt %s --xfmr-fuse-linear-argmax --xfmr-fuse-rms-norm-linear | FileCheck %s --check-prefix=BOTH
// RUN: sinter-opt %s --xfmr-fuse-rms-norm-linear --xfmr-fuse-linear-argmax | FileCheck %s --check-prefix=BOTH

// CHECK-LABEL: func @plain
// CHECK-SAME:    "fuse-linear-argmax" = {candidates = 1 : i64, fused = 1 : i64, missed = {}
// CHECK-NEXT:    %[[V:.*]], %[[I:.*]] = xfmr.linear_argmax %arg0, %arg1 bias %arg2 :
// CHECK-NEXT:    return %[[V]], %[[I]]
func.func @plain(%x: tensor<?x8xbf16>, %w: tensor<16x8xbf16>, %b: tensor<16xbf16>)
    -> (tensor<?xf32>, tensor<?xi32>) {
  %0 = xfmr.linear %x, %w bias %b
      : (tensor<?x8xbf16>, tensor<16x8xbf16>, tensor<16xbf16>) -> tensor<?x16xf32>
  %v, %i = xfmr.argmax %0 : (tensor<?x16xf32>) -> (tensor<?xf32>, tensor<?xi32>)
  return %v, %i : tensor<?xf32>, tensor<?xi32>
}

// CHECK-LABEL: func @after_the_final_norm
// CHECK-NEXT:    %[[N:.*]] = xfmr.rms_norm
// CHECK-NEXT:    xfmr.linear_argmax %[[N]], %arg1 :
// BOTH-LABEL: func @after_the_final_norm
// BOTH-SAME:    "fuse-linear-argmax" = {candidates = 1 : i64, fused = 1 : i64, missed = {}
// BOTH-SAME:    "fuse-rms-norm-linear" = {candidates = 1 : i64, fused = 1 : i64, missed = {}
// BOTH-NEXT:    %[[V:.*]], %[[I:.*]] = xfmr.linear_argmax %arg0, %arg1 norm %arg2 {eps = 9.99999997E-7 : f32} :
// BOTH-NEXT:    return %[[V]], %[[I]]
func.func @after_the_final_norm(%x: tensor<?x8xbf16>, %w: tensor<16x8xbf16>, %g: tensor<8xbf16>)
    -> (tensor<?xf32>, tensor<?xi32>) attributes {xfmr.cover = "a"} {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w : (tensor<?x8xbf16>, tensor<16x8xbf16>) -> tensor<?x16xf32>
  %v, %i = xfmr.argmax %1 : (tensor<?x16xf32>) -> (tensor<?xf32>, tensor<?xi32>)
  return %v, %i : tensor<?xf32>, tensor<?xi32>
}

// CHECK-LABEL: func @logits_with_two_users
// CHECK-SAME:    missed = {"the logits have another user" = 1 : i64}
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.argmax
func.func @logits_with_two_users(%x: tensor<?x8xbf16>, %w: tensor<16x8xbf16>)
    -> (tensor<?x16xf32>, tensor<?xf32>, tensor<?xi32>) {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<16x8xbf16>) -> tensor<?x16xf32>
  %v, %i = xfmr.argmax %0 : (tensor<?x16xf32>) -> (tensor<?xf32>, tensor<?xi32>)
  return %0, %v, %i : tensor<?x16xf32>, tensor<?xf32>, tensor<?xi32>
}

// Rounding makes ties that the f32 logits do not have.
// CHECK-LABEL: func @rounded_logits
// CHECK-SAME:    missed = {"the logits are rounded before the argmax" = 1 : i64}
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.argmax
func.func @rounded_logits(%x: tensor<?x8xbf16>, %w: tensor<16x8xbf16>)
    -> (tensor<?xf32>, tensor<?xi32>) {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<16x8xbf16>) -> tensor<?x16xbf16>
  %v, %i = xfmr.argmax %0 : (tensor<?x16xbf16>) -> (tensor<?xf32>, tensor<?xi32>)
  return %v, %i : tensor<?xf32>, tensor<?xi32>
}

// CHECK-LABEL: func @all_ranks_columns
// CHECK-SAME:    missed = {"an all-gather stands between the linear and the argmax" = 1 : i64}
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.all_gather
// CHECK-NEXT:    xfmr.argmax
func.func @all_ranks_columns(%x: tensor<?x8xbf16>, %w: tensor<16x8xbf16>)
    -> (tensor<?xf32>, tensor<?xi32>) {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<16x8xbf16>) -> tensor<?x16xf32>
  %1 = xfmr.all_gather %0 {ranks = 2 : i64} : (tensor<?x16xf32>) -> tensor<?x32xf32>
  %v, %i = xfmr.argmax %1 : (tensor<?x32xf32>) -> (tensor<?xf32>, tensor<?xi32>)
  return %v, %i : tensor<?xf32>, tensor<?xi32>
}

// CHECK-LABEL: func @row_parallel
// CHECK-SAME:    missed = {"the linear is row-parallel: a rank has only part of each logit" = 1 : i64}
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.argmax
func.func @row_parallel(%x: tensor<?x8xbf16>, %w: tensor<16x8xbf16>)
    -> (tensor<?xf32>, tensor<?xi32>) {
  %0 = xfmr.linear %x, %w {row_parallel} : (tensor<?x8xbf16>, tensor<16x8xbf16>) -> tensor<?x16xf32>
  %v, %i = xfmr.argmax %0 : (tensor<?x16xf32>) -> (tensor<?xf32>, tensor<?xi32>)
  return %v, %i : tensor<?xf32>, tensor<?xi32>
}
