// Messages about fused ops.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm_linear' op result has shape [3, 8] for an input of shape [?, 4]: the first dimensions differ}}
  %0 = xfmr.rms_norm_linear %x, %g, %w {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>, tensor<8x4xbf16>) -> tensor<3x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<8xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm_linear' op 'gamma' has shape [8], 'x' of shape [?, 4] needs [4]}}
  %0 = xfmr.rms_norm_linear %x, %g, %w {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<8xbf16>, tensor<8x4xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm_linear' op 'eps' must be finite and not negative}}
  %0 = xfmr.rms_norm_linear %x, %g, %w {eps = -1.0 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>, tensor<8x4xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm_linear' op result has 4 columns, 'w' of shape [8, 4] gives 8}}
  %0 = xfmr.rms_norm_linear %x, %g, %w {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>, tensor<8x4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm_swiglu' op result has shape [3, 4] for an input of shape [?, 4]: the first dimensions differ}}
  %0 = xfmr.rms_norm_swiglu %x, %g, %w {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>, tensor<8x4xbf16>) -> tensor<3x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<8xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm_swiglu' op 'gamma' has shape [8], 'x' of shape [?, 4] needs [4]}}
  %0 = xfmr.rms_norm_swiglu %x, %g, %w {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<8xbf16>, tensor<8x4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm_swiglu' op 'eps' must be finite and not negative}}
  %0 = xfmr.rms_norm_swiglu %x, %g, %w {eps = -1.0 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>, tensor<8x4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm_swiglu' op result has 16 columns, 'w' of shape [8, 4] gives 8}}
  %0 = xfmr.rms_norm_swiglu %x, %g, %w {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>, tensor<8x4xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %w: tensor<8x4xbf16>, %r: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.linear_add' op result has shape [3, 8] for an input of shape [?, 4]: the first dimensions differ}}
  %0 = xfmr.linear_add %x, %w, %r : (tensor<?x4xbf16>, tensor<8x4xbf16>, tensor<?x8xbf16>) -> tensor<3x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %w: tensor<8x4xbf16>, %r: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.linear_add' op 'residual' has type 'tensor<?x8xbf16>', the result 'tensor<?x8xf32>'}}
  %0 = xfmr.linear_add %x, %w, %r : (tensor<?x4xbf16>, tensor<8x4xbf16>, tensor<?x8xbf16>) -> tensor<?x8xf32>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %w: tensor<8x5xbf16>, %r: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.linear_add' op 'w' has shape [8, 5], 'x' of shape [?, 4] needs [?, 4]}}
  %0 = xfmr.linear_add %x, %w, %r : (tensor<?x4xbf16>, tensor<8x5xbf16>, tensor<?x8xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%a: tensor<?x4xbf16>, %b: tensor<?x4xf32>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.add_rms_norm' op 'eps' must be finite and not negative}}
  %s, %y = xfmr.add_rms_norm %a, %a, %g {eps = -1.0 : f32} : (tensor<?x4xbf16>, tensor<?x4xbf16>, tensor<4xbf16>) -> (tensor<?x4xbf16>, tensor<?x4xbf16>)
  return
}

// -----

func.func @f(%a: tensor<?x4xbf16>, %b: tensor<?x4xf32>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.add_rms_norm' op 'b' has type 'tensor<?x4xf32>', the other summand 'tensor<?x4xbf16>'}}
  %s, %y = xfmr.add_rms_norm %a, %b, %g {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<?x4xf32>, tensor<4xbf16>) -> (tensor<?x4xbf16>, tensor<?x4xbf16>)
  return
}

// -----

func.func @f(%a: tensor<?x4xbf16>, %b: tensor<?x4xf32>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.add_rms_norm' op result has type 'tensor<?x4xf32>', the summands 'tensor<?x4xbf16>'}}
  %s, %y = xfmr.add_rms_norm %a, %a, %g {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<?x4xbf16>, tensor<4xbf16>) -> (tensor<?x4xbf16>, tensor<?x4xf32>)
  return
}

// -----

func.func @f(%a: tensor<?x4xbf16>, %b: tensor<?x4xf32>, %g: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.add_rms_norm' op 'gamma' has shape [8], 'x' of shape [?, 4] needs [4]}}
  %s, %y = xfmr.add_rms_norm %a, %a, %g {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<?x4xbf16>, tensor<8xbf16>) -> (tensor<?x4xbf16>, tensor<?x4xbf16>)
  return
}

// -----

func.func @f(%a: tensor<?x4xbf16>, %b: tensor<?x4xf32>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.all_reduce_add_rms_norm' op 'residual' has type 'tensor<?x4xf32>', the other summand 'tensor<?x4xbf16>'}}
  %s, %y = xfmr.all_reduce_add_rms_norm %a, %b, %g {eps = 1.0e-6 : f32, ranks = 2 : i64} : (tensor<?x4xbf16>, tensor<?x4xf32>, tensor<4xbf16>) -> (tensor<?x4xbf16>, tensor<?x4xbf16>)
  return
}

// -----

func.func @f(%a: tensor<?x4xbf16>, %b: tensor<?x4xf32>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.all_reduce_add_rms_norm' op 'eps' must be finite and not negative}}
  %s, %y = xfmr.all_reduce_add_rms_norm %a, %a, %g {eps = -1.0 : f32, ranks = 2 : i64} : (tensor<?x4xbf16>, tensor<?x4xbf16>, tensor<4xbf16>) -> (tensor<?x4xbf16>, tensor<?x4xbf16>)
  return
}

// -----

func.func @f(%a: tensor<?x4xbf16>, %b: tensor<?x4xf32>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.all_reduce_add_rms_norm' op 'ranks' must be positive, got 0}}
  %s, %y = xfmr.all_reduce_add_rms_norm %a, %a, %g {eps = 1.0e-6 : f32, ranks = 0 : i64} : (tensor<?x4xbf16>, tensor<?x4xbf16>, tensor<4xbf16>) -> (tensor<?x4xbf16>, tensor<?x4xbf16>)
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<8xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.linear_argmax' op 'gamma' has shape [8], 'x' of shape [?, 4] needs [4]}}
  %v, %i = xfmr.linear_argmax %x, %w norm %g {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<8x4xbf16>, tensor<8xbf16>) -> (tensor<?xf32>, tensor<?xi32>)
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.linear_argmax' op 'eps' must be finite and not negative}}
  %v, %i = xfmr.linear_argmax %x, %w norm %g {eps = -1.0 : f32} : (tensor<?x4xbf16>, tensor<8x4xbf16>, tensor<4xbf16>) -> (tensor<?xf32>, tensor<?xi32>)
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>, %w: tensor<8x5xbf16>) {
  // expected-error @+1 {{'xfmr.linear_argmax' op 'w' has shape [8, 5], 'x' of shape [?, 4] needs [?, 4]}}
  %v, %i = xfmr.linear_argmax %x, %w : (tensor<?x4xbf16>, tensor<8x5xbf16>) -> (tensor<?xf32>, tensor<?xi32>)
  return
}

// -----

func.func @f(%x: tensor<2x4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.linear_argmax' op 'value' has shape [3], 'x' of shape [2, 4] needs [2]}}
  %v, %i = xfmr.linear_argmax %x, %w : (tensor<2x4xbf16>, tensor<8x4xbf16>) -> (tensor<3xf32>, tensor<2xi32>)
  return
}
