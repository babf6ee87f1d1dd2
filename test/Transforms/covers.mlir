// linear -> add -> norm -> linear in the three covers: by attribute, and by option over it; the
// order of the passes does not matter.
// RUN: sinter-opt %s --xfmr-fuse | FileCheck %s
// RUN: sinter-opt %s --xfmr-fuse > %t.once
// RUN: sinter-opt %t.once --xfmr-fuse > %t.twice
// RUN: diff %t.once %t.twice
// RUN: sinter-opt %s --pass-pipeline="builtin.module(func.func(xfmr-fuse-linear-add{cover=c},xfmr-fuse-rms-norm-linear{cover=c},xfmr-fuse-add-rms-norm{cover=c}))" | FileCheck %s --check-prefix=OPTION
// RUN: sinter-opt %s --pass-pipeline="builtin.module(func.func(xfmr-fuse-add-rms-norm,xfmr-fuse-rms-norm-linear,xfmr-fuse-linear-add))" | FileCheck %s
// RUN: not sinter-opt %s --pass-pipeline="builtin.module(func.func(xfmr-fuse-linear-add{cover=d}))" 2>&1 | FileCheck %s --check-prefix=BAD

// BAD: cover must be a, b or c, not 'd'

// CHECK-LABEL: func @a
// CHECK-NEXT:    %[[S:.*]] = xfmr.linear_add
// CHECK-NEXT:    %[[Y:.*]] = xfmr.rms_norm_linear %[[S]]
// CHECK-NEXT:    return %[[S]], %[[Y]]
// OPTION-LABEL: func @a
// OPTION-NEXT:    xfmr.linear_add
// OPTION-NEXT:    xfmr.rms_norm %
// OPTION-NEXT:    xfmr.linear %
func.func @a(%x: tensor<?x8xbf16>, %r: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> (tensor<?x8xbf16>, tensor<?x8xbf16>) attributes {xfmr.cover = "a"} {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.add %0, %r : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %3 = xfmr.linear %2, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %1, %3 : tensor<?x8xbf16>, tensor<?x8xbf16>
}

// CHECK-LABEL: func @b
// CHECK-SAME:    "fuse-add-rms-norm" = {candidates = 1 : i64, fused = 1 : i64, missed = {}
// CHECK-SAME:    "fuse-linear-add" = {candidates = 1 : i64, fused = 0 : i64, missed = {"{{[^"]*}}" = 1 : i64}
// CHECK-SAME:    "fuse-rms-norm-linear" = {candidates = 1 : i64, fused = 0 : i64, missed = {"{{[^"]*}}" = 1 : i64}
// CHECK-NEXT:    %[[A:.*]] = xfmr.linear %
// CHECK-NEXT:    %[[S:.*]], %[[N:.*]] = xfmr.add_rms_norm %[[A]], %arg1, %arg3
// CHECK-NEXT:    %[[Y:.*]] = xfmr.linear %[[N]]
// CHECK-NEXT:    return %[[S]], %[[Y]]
func.func @b(%x: tensor<?x8xbf16>, %r: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> (tensor<?x8xbf16>, tensor<?x8xbf16>) attributes {xfmr.cover = "b"} {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.add %0, %r : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %3 = xfmr.linear %2, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %1, %3 : tensor<?x8xbf16>, tensor<?x8xbf16>
}

// CHECK-LABEL: func @c
// CHECK-NEXT:    %[[S:.*]] = xfmr.linear_add
// CHECK-NEXT:    %[[N:.*]] = xfmr.rms_norm %[[S]]
// CHECK-NEXT:    xfmr.linear %[[N]]
func.func @c(%x: tensor<?x8xbf16>, %r: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> (tensor<?x8xbf16>, tensor<?x8xbf16>) attributes {xfmr.cover = "c"} {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.add %0, %r : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %3 = xfmr.linear %2, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %1, %3 : tensor<?x8xbf16>, tensor<?x8xbf16>
}

// A norm that is not behind a residual goes into its linear in every cover.
// CHECK-LABEL: func @first_norm
// CHECK-NEXT:    xfmr.rms_norm_linear
// OPTION-LABEL: func @first_norm
// OPTION-NEXT:    xfmr.rms_norm_linear
func.func @first_norm(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> tensor<?x8xbf16> attributes {xfmr.cover = "b"} {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %1 : tensor<?x8xbf16>
}

// Without a cover and without a token range nothing was weighed: it fuses (cover a) and says so.
// CHECK-LABEL: func @no_range
// CHECK-SAME:    "fuse-linear-add" = {candidates = 1 : i64, fused = 1 : i64, missed = {}, note = "no token range: the cost model was not consulted", saved = 32 : i64}
// CHECK-NEXT:    xfmr.linear_add
func.func @no_range(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>) -> tensor<?x8xbf16> {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.add %0, %x : tensor<?x8xbf16>
  return %1 : tensor<?x8xbf16>
}
