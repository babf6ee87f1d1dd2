// rms_norm(add(a, b), g) -> add_rms_norm(a, b, g), with an all_reduce in front, and what must stay.
// RUN: sinter-opt %s --xfmr-fuse-add-rms-norm > %t.once
// RUN: FileCheck %s < %t.once
// RUN: sinter-opt %t.once --xfmr-fuse-add-rms-norm > %t.twice
// RUN: diff %t.once %t.twice

// The add has two users, the norm and the next add: must fire, and the norm's weight, read after
// the first of them, moves up.
// CHECK-LABEL: func @add_with_two_users
// CHECK-SAME:    "fuse-add-rms-norm" = {candidates = 1 : i64, fused = 1 : i64, missed = {}
// CHECK-NEXT:    %[[G:.*]] = xfmr.get_weight @norm
// CHECK-NEXT:    %[[S:.*]], %[[Y:.*]] = xfmr.add_rms_norm %arg0, %arg1, %[[G]] {eps = 9.99999997E-7 : f32}
// CHECK-NEXT:    %[[N:.*]] = xfmr.add %[[S]], %arg0
// CHECK-NEXT:    return %[[N]], %[[Y]]
xfmr.weight @norm : tensor<8xbf16> from [#xfmr.source<"norm.weight", 0, 8>]
func.func @add_with_two_users(%a: tensor<?x8xbf16>, %b: tensor<?x8xbf16>)
    -> (tensor<?x8xbf16>, tensor<?x8xbf16>) attributes {xfmr.cover = "b"} {
  %0 = xfmr.add %a, %b : tensor<?x8xbf16>
  %1 = xfmr.add %0, %a : tensor<?x8xbf16>
  %g = xfmr.get_weight @norm : tensor<8xbf16>
  %2 = xfmr.rms_norm %0, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  return %1, %2 : tensor<?x8xbf16>, tensor<?x8xbf16>
}

// Two norms of one sum: the first is fused, the second reads the sum.
// CHECK-LABEL: func @two_norms
// CHECK-SAME:    "fuse-add-rms-norm" = {candidates = 2 : i64, fused = 1 : i64, missed = {"the add went with another norm" = 1 : i64}
// CHECK-NEXT:    %[[S:.*]], %[[Y:.*]] = xfmr.add_rms_norm %arg0, %arg1, %arg2 {eps = 9.99999997E-7 : f32}
// CHECK-NEXT:    %[[N:.*]] = xfmr.rms_norm %[[S]], %arg2 {eps = 9.99999974E-6 : f32}
// CHECK-NEXT:    return %[[Y]], %[[N]]
func.func @two_norms(%a: tensor<?x8xbf16>, %b: tensor<?x8xbf16>, %g: tensor<8xbf16>)
    -> (tensor<?x8xbf16>, tensor<?x8xbf16>) attributes {xfmr.cover = "b"} {
  %0 = xfmr.add %a, %b : tensor<?x8xbf16>
  %1 = xfmr.rms_norm %0, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %2 = xfmr.rms_norm %0, %g {eps = 1.0e-5 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  return %1, %2 : tensor<?x8xbf16>, tensor<?x8xbf16>
}

// CHECK-LABEL: func @after_an_all_reduce
// CHECK-NEXT:    %[[S:.*]], %[[Y:.*]] = xfmr.all_reduce_add_rms_norm %arg0, %arg1, %arg2 {eps = 9.99999997E-7 : f32, ranks = 2 : i64}
// CHECK-NEXT:    return %[[S]], %[[Y]]
func.func @after_an_all_reduce(%x: tensor<?x8xbf16>, %r: tensor<?x8xbf16>, %g: tensor<8xbf16>)
    -> (tensor<?x8xbf16>, tensor<?x8xbf16>) {
  %0 = xfmr.all_reduce %x {ranks = 2 : i64} : tensor<?x8xbf16>
  %1 = xfmr.add %r, %0 : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  return %1, %2 : tensor<?x8xbf16>, tensor<?x8xbf16>
}

// Collectives keep their order: the first may not move past the second.
// CHECK-LABEL: func @all_reduce_between
// CHECK-NEXT:    %[[A:.*]] = xfmr.all_reduce %arg0
// CHECK-NEXT:    %[[B:.*]] = xfmr.all_reduce %arg1
// CHECK-NEXT:    xfmr.add_rms_norm %[[A]], %arg1
func.func @all_reduce_between(%x: tensor<?x8xbf16>, %r: tensor<?x8xbf16>, %g: tensor<8xbf16>)
    -> (tensor<?x8xbf16>, tensor<?x8xbf16>) {
  %0 = xfmr.all_reduce %x {ranks = 2 : i64} : tensor<?x8xbf16>
  %3 = xfmr.all_reduce %r {ranks = 2 : i64} : tensor<?x8xbf16>
  %1 = xfmr.add %0, %r : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  return %3, %2 : tensor<?x8xbf16>, tensor<?x8xbf16>
}

// The reduced value is needed itself: the all_reduce stays, the rest fuses.
// CHECK-LABEL: func @all_reduce_with_two_users
// CHECK-NEXT:    %[[A:.*]] = xfmr.all_reduce
// CHECK-NEXT:    xfmr.add_rms_norm %[[A]], %[[A]]
func.func @all_reduce_with_two_users(%x: tensor<?x8xbf16>, %g: tensor<8xbf16>) -> tensor<?x8xbf16> {
  %0 = xfmr.all_reduce %x {ranks = 2 : i64} : tensor<?x8xbf16>
  %1 = xfmr.add %0, %0 : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  return %2 : tensor<?x8xbf16>
}

// Cover a, alone: it leaves the add to the linear before it, and the norm to the linear after it.
// CHECK-LABEL: func @left_to_the_linear_before
// CHECK-SAME:    missed = {"the add goes into the linear before it (cover a)" = 1 : i64}
// CHECK-NOT:     xfmr.add_rms_norm
func.func @left_to_the_linear_before(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> tensor<?x8xbf16> attributes {xfmr.cover = "a"} {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.add %0, %x : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  return %2 : tensor<?x8xbf16>
}
// CHECK-LABEL: func @left_to_the_linear_after
// CHECK-SAME:    missed = {"the norm goes into the linear after it (cover a)" = 1 : i64}
// CHECK-NOT:     xfmr.add_rms_norm
func.func @left_to_the_linear_after(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> tensor<?x8xbf16> attributes {xfmr.cover = "a"} {
  %0 = xfmr.add %x, %x : tensor<?x8xbf16>
  %1 = xfmr.rms_norm %0, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %2 = xfmr.linear %1, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %2 : tensor<?x8xbf16>
}

// Cover a, and neither linear can: it fires.
// CHECK-LABEL: func @nobody_else
// CHECK-NEXT:    xfmr.linear
// CHECK-NEXT:    xfmr.add_rms_norm
func.func @nobody_else(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> (tensor<?x8xbf16>, tensor<?x8xbf16>) attributes {xfmr.cover = "a"} {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.add %0, %x : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  return %0, %2 : tensor<?x8xbf16>, tensor<?x8xbf16>
}
