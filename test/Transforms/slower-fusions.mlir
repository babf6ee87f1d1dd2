// A target that knows a fusion to lose says so on the function; the passes leave it and repeat the numbers.
// RUN: sinter-opt %s --xfmr-fuse --xfmr-explain-fusion 2> %t.report | FileCheck %s
// RUN: FileCheck %s --check-prefix=REPORT < %t.report

// CHECK-LABEL: func @slower
// CHECK: xfmr.linear
// CHECK: xfmr.add
func.func @slower(%x: tensor<4x32xbf16>, %w: tensor<16x32xbf16>, %r: tensor<4x16xbf16>) -> tensor<4x16xbf16>
    attributes {xfmr.slower = {"fuse-linear-add 16x32" = "measured slower at 4 tokens: 9.00 us against 8.00 us"}} {
  %y = xfmr.linear %x, %w : (tensor<4x32xbf16>, tensor<16x32xbf16>) -> tensor<4x16xbf16>
  %s = xfmr.add %y, %r : tensor<4x16xbf16>
  return %s : tensor<4x16xbf16>
}

// Of another shape: it fuses.
// CHECK-LABEL: func @other
// CHECK: xfmr.linear_add
func.func @other(%x: tensor<4x32xbf16>, %w: tensor<8x32xbf16>, %r: tensor<4x8xbf16>) -> tensor<4x8xbf16>
    attributes {xfmr.slower = {"fuse-linear-add 16x32" = "measured slower at 4 tokens: 9.00 us against 8.00 us"}} {
  %y = xfmr.linear %x, %w : (tensor<4x32xbf16>, tensor<8x32xbf16>) -> tensor<4x8xbf16>
  %s = xfmr.add %y, %r : tensor<4x8xbf16>
  return %s : tensor<4x8xbf16>
}

// REPORT: slower
// REPORT: missed  fuse-linear-add           1 of 1        measured slower at 4 tokens: 9.00 us against 8.00 us
// REPORT: other
// REPORT: fused   fuse-linear-add           1 of 1
