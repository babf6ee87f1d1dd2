// linear(rms_norm(x, g), W) -> rms_norm_linear(x, g, W), its SwiGLU form, and what must stay.
// RUN: sinter-opt %s --xfmr-fuse-rms-norm-linear > %t.once
// RUN: FileCheck %s < %t.once
// RUN: sinter-opt %t.once --xfmr-fuse-rms-norm-linear > %t.twice
// RUN: diff %t.once %t.twice

// The row scale must not touch the bias: it is the fused op's own operand.
// CHECK-LABEL: func @plain
// CHECK-SAME:    "fuse-rms-norm-linear" = {candidates = 1 : i64, fused = 1 : i64, missed = {}
// CHECK-NEXT:    xfmr.rms_norm_linear %arg0, %arg1, %arg2 bias %arg3 {eps = 9.99999997E-7 : f32} :
func.func @plain(%x: tensor<?x8xbf16>, %g: tensor<8xbf16>, %w: tensor<4x8xbf16>, %b: tensor<4xbf16>)
    -> tensor<?x4xbf16> attributes {xfmr.cover = "a"} {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w bias %b
      : (tensor<?x8xbf16>, tensor<4x8xbf16>, tensor<4xbf16>) -> tensor<?x4xbf16>
  return %1 : tensor<?x4xbf16>
}

// Each norm keeps its own eps.
// CHECK-LABEL: func @different_eps
// CHECK-NEXT:    %[[A:.*]] = xfmr.rms_norm_linear %arg0, %arg1, %arg2 {eps = 9.99999997E-7 : f32}
// CHECK-NEXT:    xfmr.rms_norm_linear %[[A]], %arg1, %arg2 {eps = 9.99999974E-6 : f32}
func.func @different_eps(%x: tensor<?x8xbf16>, %g: tensor<8xbf16>, %w: tensor<8x8xbf16>)
    -> tensor<?x8xbf16> {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-5 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %3 = xfmr.linear %2, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %3 : tensor<?x8xbf16>
}

// CHECK-LABEL: func @different_gamma_dtype
// CHECK-SAME:    missed = {"the norm's weight has another element type than the linear's" = 1 : i64}
// CHECK-NEXT:    xfmr.rms_norm %
// CHECK-NEXT:    xfmr.linear %
func.func @different_gamma_dtype(%x: tensor<?x8xbf16>, %g: tensor<8xf32>, %w: tensor<8x8xbf16>)
    -> tensor<?x8xbf16> {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xf32>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %1 : tensor<?x8xbf16>
}

// f32 activations over bf16 weights are no mismatch.
// CHECK-LABEL: func @f32_activations
// CHECK-NEXT:    xfmr.rms_norm_linear
func.func @f32_activations(%x: tensor<?x8xf32>, %g: tensor<8xbf16>, %w: tensor<8x8xbf16>)
    -> tensor<?x8xf32> {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xf32>, tensor<8xbf16>) -> tensor<?x8xf32>
  %1 = xfmr.linear %0, %w : (tensor<?x8xf32>, tensor<8x8xbf16>) -> tensor<?x8xf32>
  return %1 : tensor<?x8xf32>
}

// Two linears on one norm: both stay, and both are counted.
// CHECK-LABEL: func @norm_with_two_users
// CHECK-SAME:    "fuse-rms-norm-linear" = {candidates = 2 : i64, fused = 0 : i64, missed = {"the norm has another user" = 2 : i64}
// CHECK-NEXT:    xfmr.rms_norm %
// CHECK-NEXT:    xfmr.linear %
// CHECK-NEXT:    xfmr.linear %
func.func @norm_with_two_users(%x: tensor<?x8xbf16>, %g: tensor<8xbf16>, %w: tensor<8x8xbf16>,
                               %v: tensor<8x8xbf16>) -> (tensor<?x8xbf16>, tensor<?x8xbf16>) {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %2 = xfmr.linear %0, %v : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %1, %2 : tensor<?x8xbf16>, tensor<?x8xbf16>
}

// A rank sees part of the row only: its 1/rms would be wrong.
// CHECK-LABEL: func @row_parallel
// CHECK-SAME:    missed = {"the linear is row-parallel: a rank sees only part of the row" = 1 : i64}
// CHECK-NEXT:    xfmr.rms_norm %
// CHECK-NEXT:    xfmr.linear %
func.func @row_parallel(%x: tensor<?x8xbf16>, %g: tensor<8xbf16>, %w: tensor<4x8xbf16>)
    -> tensor<?x4xbf16> attributes {xfmr.cover = "a"} {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w {row_parallel} : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %2 = xfmr.all_reduce %1 {ranks = 2 : i64} : tensor<?x4xbf16>
  return %2 : tensor<?x4xbf16>
}

// CHECK-LABEL: func @swiglu
// CHECK-SAME:    "fuse-rms-norm-linear" = {candidates = 1 : i64, fused = 1 : i64, missed = {}
// CHECK-NEXT:    xfmr.rms_norm_swiglu %arg0, %arg1, %arg2 {eps = 9.99999997E-7 : f32} : {{.*}} -> tensor<?x2xbf16>
// CHECK-NEXT:    return
func.func @swiglu(%x: tensor<?x8xbf16>, %g: tensor<8xbf16>, %w: tensor<4x8xbf16>) -> tensor<?x2xbf16> {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %2 = xfmr.swiglu %1 : (tensor<?x4xbf16>) -> tensor<?x2xbf16>
  return %2 : tensor<?x2xbf16>
}

// gate_up is read by somebody else too: the norm goes in, swiglu stays.
// CHECK-LABEL: func @swiglu_of_a_shared_linear
// CHECK-NEXT:    %[[Y:.*]] = xfmr.rms_norm_linear
// CHECK-NEXT:    xfmr.swiglu %[[Y]]
func.func @swiglu_of_a_shared_linear(%x: tensor<?x8xbf16>, %g: tensor<8xbf16>, %w: tensor<4x8xbf16>)
    -> (tensor<?x2xbf16>, tensor<?x4xbf16>) {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.linear %0, %w : (tensor<?x8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  %2 = xfmr.swiglu %1 : (tensor<?x4xbf16>) -> tensor<?x2xbf16>
  return %2, %1 : tensor<?x2xbf16>, tensor<?x4xbf16>
}

// Final norm and head over the embedding table: the table is read, never rewritten.
xfmr.weight @embed : tensor<16x8xbf16> from [#xfmr.source<"model.embed_tokens.weight", 0, 16>]
// CHECK-LABEL: func @tied_embedding
// CHECK-NEXT:    %[[W:.*]] = xfmr.get_weight @embed : tensor<16x8xbf16>
// CHECK-NEXT:    %[[X:.*]] = xfmr.embedding %arg0, %[[W]]
// CHECK-NEXT:    %[[S:.*]] = xfmr.select_rows %[[X]], %arg1
// CHECK-NEXT:    xfmr.rms_norm_linear %[[S]], %arg2, %[[W]] {{.*}} -> tensor<?x16xf32>
func.func @tied_embedding(%tokens: tensor<?xi32>, %rows: tensor<?xi32>, %g: tensor<8xbf16>)
    -> tensor<?x16xf32> {
  %w = xfmr.get_weight @embed : tensor<16x8xbf16>
  %0 = xfmr.embedding %tokens, %w : (tensor<?xi32>, tensor<16x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.select_rows %0, %rows : (tensor<?x8xbf16>, tensor<?xi32>) -> tensor<?x8xbf16>
  %2 = xfmr.rms_norm %1, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  %3 = xfmr.linear %2, %w : (tensor<?x8xbf16>, tensor<16x8xbf16>) -> tensor<?x16xf32>
  return %3 : tensor<?x16xf32>
}

// A norm over heads is not a norm over the row.
// CHECK-LABEL: func @head_norm
// CHECK-NOT:     xfmr.rms_norm_linear
// CHECK:         return
func.func @head_norm(%x: tensor<?x2x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x8xbf16>)
    -> tensor<?x8xbf16> {
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x2x4xbf16>, tensor<4xbf16>) -> tensor<?x2x4xbf16>
  %1 = xfmr.merge_heads %0 : (tensor<?x2x4xbf16>) -> tensor<?x8xbf16>
  %2 = xfmr.linear %1, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %2 : tensor<?x8xbf16>
}
