// A graph written for four tokens serves four tokens, whatever the default list says.
// RUN: sinter-opt %s --xfmr-specialise=heads=logits | FileCheck %s
// RUN: not sinter-opt %s --xfmr-specialise=token-ranges=1,2-max 2>&1 | FileCheck %s --check-prefix=RANGE
// RANGE: token range '1' is not inside [4, 4]

// CHECK-NOT:   func @step
// CHECK-LABEL: func @step_m4_logits(%arg0: tensor<4xi32>, %arg1: tensor<?xi32>)
// CHECK-SAME:    xfmr.tokens = array<i64: 4, 4>
// CHECK-NOT:   func @step
xfmr.weight @w : tensor<16x8xbf16> from [#xfmr.source<"embed", 0, 16>]
func.func @step(%tokens: tensor<4xi32>, %rows: tensor<?xi32>) -> tensor<?x16xf32>
    attributes {xfmr.entry} {
  %w = xfmr.get_weight @w : tensor<16x8xbf16>
  %x = xfmr.embedding %tokens, %w : (tensor<4xi32>, tensor<16x8xbf16>) -> tensor<4x8xbf16>
  %s = xfmr.select_rows %x, %rows : (tensor<4x8xbf16>, tensor<?xi32>) -> tensor<?x8xbf16>
  %y = xfmr.linear %s, %w : (tensor<?x8xbf16>, tensor<16x8xbf16>) -> tensor<?x16xf32>
  return %y : tensor<?x16xf32>
}
