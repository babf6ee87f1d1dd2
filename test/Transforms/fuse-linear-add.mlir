// add(linear(x, W), r) -> linear_add(x, W, r): where it fires, where it must not, twice = once.
// RUN: sinter-opt %s --xfmr-fuse-linear-add > %t.once
// RUN: FileCheck %s < %t.once
// RUN: sinter-opt %t.once --xfmr-fuse-linear-add > %t.twice
// RUN: diff %t.once %t.twice

// CHECK-LABEL: func @plain
// CHECK-SAME:    "fuse-linear-add" = {candidates = 1 : i64, fused = 1 : i64, missed = {}
// CHECK-NEXT:    %[[Y:.*]] = xfmr.linear_add %arg0, %arg1, %arg2 :
// CHECK-NEXT:    return %[[Y]]
func.func @plain(%x: tensor<?x8xbf16>, %w: tensor<4x8xbf16>, %r: tensor<?x4xbf16>)
    -> tensor<?x4xbf16> attributes {xfmr.cover = "a"} {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %1 = xfmr.add %0, %r : tensor<?x4xbf16>
  return %1 : tensor<?x4xbf16>
}

// Operands swapped, and a bias that stays with the linear.
// CHECK-LABEL: func @swapped_with_bias
// CHECK-NEXT:    xfmr.linear_add %arg0, %arg1, %arg2 bias %arg3 :
func.func @swapped_with_bias(%x: tensor<?x8xbf16>, %w: tensor<4x8xbf16>, %r: tensor<?x4xbf16>,
                             %b: tensor<4xbf16>) -> tensor<?x4xbf16> {
  %0 = xfmr.linear %x, %w bias %b
      : (tensor<?x8xbf16>, tensor<4x8xbf16>, tensor<4xbf16>) -> tensor<?x4xbf16>
  %1 = xfmr.add %r, %0 : tensor<?x4xbf16>
  return %1 : tensor<?x4xbf16>
}

// y + y has no residual.
// CHECK-LABEL: func @added_to_itself
// CHECK-SAME:    "fuse-linear-add" = {candidates = 1 : i64, fused = 0 : i64, missed = {"the linear is added to itself" = 1 : i64}
// CHECK-NEXT:    xfmr.linear
// CHECK-NEXT:    xfmr.add
func.func @added_to_itself(%x: tensor<?x8xbf16>, %w: tensor<4x8xbf16>) -> tensor<?x4xbf16> {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %1 = xfmr.add %0, %0 : tensor<?x4xbf16>
  return %1 : tensor<?x4xbf16>
}

// The linear's own value is needed elsewhere.
// CHECK-LABEL: func @linear_with_two_users
// CHECK-SAME:    missed = {"the linear has another user" = 1 : i64}
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.add
func.func @linear_with_two_users(%x: tensor<?x8xbf16>, %w: tensor<4x8xbf16>, %r: tensor<?x4xbf16>)
    -> (tensor<?x4xbf16>, tensor<?x4xbf16>) {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %1 = xfmr.add %0, %r : tensor<?x4xbf16>
  return %0, %1 : tensor<?x4xbf16>, tensor<?x4xbf16>
}

// The residual is what the linear reads: legal.
// CHECK-LABEL: func @residual_is_the_input
// CHECK-NEXT:    xfmr.linear_add %arg0, %arg1, %arg0 :
func.func @residual_is_the_input(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>) -> tensor<?x8xbf16> {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.add %x, %0 : tensor<?x8xbf16>
  return %1 : tensor<?x8xbf16>
}

// The residual is computed after the linear: the fused op stands where the add stood.
// CHECK-LABEL: func @residual_after_the_linear
// CHECK-NEXT:    %[[R:.*]] = xfmr.rms_norm
// CHECK-NEXT:    xfmr.linear_add %arg0, %arg1, %[[R]] :
func.func @residual_after_the_linear(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> tensor<?x8xbf16> {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %2 = xfmr.add %0, %1 : tensor<?x8xbf16>
  return %2 : tensor<?x8xbf16>
}

// Two linears: the later one takes the other's value, and only one is taken.
// CHECK-LABEL: func @two_linears
// CHECK-NEXT:    %[[A:.*]] = xfmr.linear %arg0, %arg1 :
// CHECK-NEXT:    xfmr.linear_add %arg0, %arg2, %[[A]] :
func.func @two_linears(%x: tensor<?x8xbf16>, %w: tensor<4x8xbf16>, %v: tensor<4x8xbf16>)
    -> tensor<?x4xbf16> {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %1 = xfmr.linear %x, %v : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %2 = xfmr.add %0, %1 : tensor<?x4xbf16>
  return %2 : tensor<?x4xbf16>
}

// The sum has two users, as every residual stream has.
// CHECK-LABEL: func @add_with_two_users
// CHECK-NEXT:    %[[Y:.*]] = xfmr.linear_add
// CHECK-NEXT:    xfmr.rms_norm %[[Y]]
// CHECK-NEXT:    xfmr.add %[[Y]]
func.func @add_with_two_users(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>)
    -> tensor<?x8xbf16> attributes {xfmr.cover = "a"} {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.add %0, %x : tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %3 = xfmr.add %1, %2 : tensor<?x8xbf16>
  return %3 : tensor<?x8xbf16>
}

// f32 out of bf16: no kernel adds a residual of another type than its input.
// CHECK-LABEL: func @dtype_mismatch
// CHECK-SAME:    missed = {"the linear's result has another element type than its input" = 1 : i64}
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.add
func.func @dtype_mismatch(%x: tensor<?x8xbf16>, %w: tensor<4x8xbf16>, %r: tensor<?x4xf32>)
    -> tensor<?x4xf32> {
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xf32>
  %1 = xfmr.add %0, %r : tensor<?x4xf32>
  return %1 : tensor<?x4xf32>
}

// Every rank would add the residual.
// CHECK-LABEL: func @row_parallel
// CHECK-SAME:    missed = {"an all-reduce stands between the linear and the add" = 1 : i64}
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.all_reduce
// CHECK-NEXT:    xfmr.add
func.func @row_parallel(%x: tensor<?x8xbf16>, %w: tensor<4x8xbf16>, %r: tensor<?x4xbf16>)
    -> tensor<?x4xbf16> {
  %0 = xfmr.linear %x, %w {row_parallel} : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %1 = xfmr.all_reduce %0 {ranks = 2 : i64} : tensor<?x4xbf16>
  %2 = xfmr.add %1, %r : tensor<?x4xbf16>
  return %2 : tensor<?x4xbf16>
}

// The same without its all_reduce.
// CHECK-LABEL: func @row_parallel_bare
// CHECK-SAME:    missed = {"the linear is row-parallel: every rank would add the residual" = 1 : i64}
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.add
func.func @row_parallel_bare(%x: tensor<?x8xbf16>, %w: tensor<4x8xbf16>, %r: tensor<?x4xbf16>)
    -> tensor<?x4xbf16> {
  %0 = xfmr.linear %x, %w {row_parallel} : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %1 = xfmr.add %0, %r : tensor<?x4xbf16>
  return %1 : tensor<?x4xbf16>
}
