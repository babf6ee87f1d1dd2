// Messages about weights.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{'xfmr.weight' op has no sources}}
xfmr.weight @w : tensor<8xf32> from []

// -----

// expected-error @+1 {{'xfmr.weight' op source list holds 3 : i64, not a #xfmr.source}}
xfmr.weight @w : tensor<8xf32> from [3]

// -----

// expected-error @+1 {{'xfmr.weight' op sources hold 6 rows, the type 'tensor<8xf32>' has 8}}
xfmr.weight @w : tensor<8xf32> from [#xfmr.source<"a", 0, 4>, #xfmr.source<"b", 0, 4, rows, 2>]

// -----

// expected-error @+1 {{'xfmr.weight' op type 'tensor<?xf32>' must be a static vector or matrix}}
xfmr.weight @w : tensor<?xf32> from [#xfmr.source<"a", 0, 4>]

// -----

// expected-error @+1 {{'xfmr.weight' op type 'tensor<2x2x2xf32>' must be a static vector or matrix}}
xfmr.weight @w : tensor<2x2x2xf32> from [#xfmr.source<"a", 0, 2>]

// -----

// expected-error @+1 {{'xfmr.weight' op a k_scale has type tensor<1xf32>, not 'tensor<1xbf16>'}}
xfmr.weight @w : tensor<1xbf16> from #xfmr.k_scale<"k_norm", 8>

// -----

// expected-error @+1 {{'xfmr.weight' op a rope_table of 2 frequencies has type tensor<Px4xf32>, not 'tensor<64x8xf32>'}}
xfmr.weight @w : tensor<64x8xf32> from #xfmr.rope_table<1.0, [1.0, 0.5]>

// -----

// expected-error @+1 {{'xfmr.weight' op init must be a list of #xfmr.source, a #xfmr.k_scale or a #xfmr.rope_table, not "zeros"}}
xfmr.weight @w : tensor<8xf32> from "zeros"

// -----

func.func @f() {
  // expected-error @+1 {{'xfmr.get_weight' op no xfmr.weight named @nobody}}
  %0 = xfmr.get_weight @nobody : tensor<8xf32>
  return
}

// -----

xfmr.weight @w : tensor<8xf32> from [#xfmr.source<"a", 0, 8>]
func.func @f() {
  // expected-error @+1 {{'xfmr.get_weight' op @w has type 'tensor<8xf32>', the result 'tensor<4xf32>'}}
  %0 = xfmr.get_weight @w : tensor<4xf32>
  return
}
