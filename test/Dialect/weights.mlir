// Two reads of one weight are one value after CSE; equal weights under two names stay two.
// RUN: sinter-opt %s -cse | FileCheck %s

xfmr.weight @a : tensor<8x4xbf16> from [#xfmr.source<"a.weight", 0, 8>]
xfmr.weight @b : tensor<8x4xbf16> from [#xfmr.source<"a.weight", 0, 8>]

// CHECK-LABEL: func @two_reads
// CHECK:         %[[W:.*]] = xfmr.get_weight @a
// CHECK-NOT:     xfmr.get_weight
// CHECK:         return %[[W]], %[[W]]
func.func @two_reads() -> (tensor<8x4xbf16>, tensor<8x4xbf16>) {
  %0 = xfmr.get_weight @a : tensor<8x4xbf16>
  %1 = xfmr.get_weight @a : tensor<8x4xbf16>
  return %0, %1 : tensor<8x4xbf16>, tensor<8x4xbf16>
}

// CHECK-LABEL: func @two_weights
// CHECK-DAG:     xfmr.get_weight @a
// CHECK-DAG:     xfmr.get_weight @b
func.func @two_weights() -> (tensor<8x4xbf16>, tensor<8x4xbf16>) {
  %0 = xfmr.get_weight @a : tensor<8x4xbf16>
  %1 = xfmr.get_weight @b : tensor<8x4xbf16>
  return %0, %1 : tensor<8x4xbf16>, tensor<8x4xbf16>
}
