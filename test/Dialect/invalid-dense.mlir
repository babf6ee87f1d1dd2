// Messages about embedding, norm, linear, add and swiglu.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics

func.func @f(%t: tensor<?xi32>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.embedding' op 'vocab_parallel' must be positive, got 0}}
  %0 = xfmr.embedding %t, %w {vocab_parallel = 0 : i64} : (tensor<?xi32>, tensor<8x4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%t: tensor<?xi32>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.embedding' op 'result' has shape [?, 8], 'tokens' [?] and 'table' [8, 4] needs [?, 4]}}
  %0 = xfmr.embedding %t, %w : (tensor<?xi32>, tensor<8x4xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm' op result has shape [?, 8], 'x' has [?, 4]}}
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm' op result element type 'f32' differs from that of 'x', 'bf16'}}
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>) -> tensor<?x4xf32>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm' op 'eps' must be finite and not negative}}
  %0 = xfmr.rms_norm %x, %g {eps = -1.0 : f32} : (tensor<?x4xbf16>, tensor<4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %g: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.rms_norm' op 'gamma' has shape [8], 'x' of shape [?, 4] needs [4]}}
  %0 = xfmr.rms_norm %x, %g {eps = 1.0e-6 : f32} : (tensor<?x4xbf16>, tensor<8xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.linear' op result has shape [3, 8] for an input of shape [?, 4]: the first dimensions differ}}
  %0 = xfmr.linear %x, %w : (tensor<?x4xbf16>, tensor<8x4xbf16>) -> tensor<3x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %w: tensor<8x5xbf16>) {
  // expected-error @+1 {{'xfmr.linear' op 'w' has shape [8, 5], 'x' of shape [?, 4] needs [?, 4]}}
  %0 = xfmr.linear %x, %w : (tensor<?x4xbf16>, tensor<8x5xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x?xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.linear' op 'x' [?, ?] and 'w' [8, 4] need static sizes beyond the tokens}}
  %0 = xfmr.linear %x, %w : (tensor<?x?xbf16>, tensor<8x4xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %w: tensor<8x4xbf16>, %b: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.linear' op 'bias' has shape [4], 'w' of shape [8, 4] needs [8]}}
  %0 = xfmr.linear %x, %w bias %b : (tensor<?x4xbf16>, tensor<8x4xbf16>, tensor<4xbf16>) -> tensor<?x8xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.linear' op result has 9 columns, 'w' of shape [8, 4] gives 8}}
  %0 = xfmr.linear %x, %w : (tensor<?x4xbf16>, tensor<8x4xbf16>) -> tensor<?x9xbf16>
  return
}

// -----

// No broadcasting: shapes and element types must be equal.
func.func @f(%a: tensor<?x4xbf16>, %b: tensor<1x4xbf16>) {
  // expected-error @+1 {{'xfmr.add' op 'b' has type 'tensor<1x4xbf16>', 'a' has 'tensor<?x4xbf16>'}}
  %0 = "xfmr.add"(%a, %b) : (tensor<?x4xbf16>, tensor<1x4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%a: tensor<?x4xbf16>, %b: tensor<?x4xf32>) {
  // expected-error @+1 {{'xfmr.add' op requires the same type for all operands and results}}
  %0 = "xfmr.add"(%a, %b) : (tensor<?x4xbf16>, tensor<?x4xf32>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%a: tensor<?x4xi32>) {
  // expected-error @+1 {{'xfmr.add' op operand #0 must be 2D/3D tensor of bfloat16 type or 16-bit float or 32-bit float values, but got 'tensor<?x4xi32>'}}
  %0 = xfmr.add %a, %a : tensor<?x4xi32>
  return
}

// -----

func.func @f(%g: tensor<?x4xbf16>) {
  // expected-error @+1 {{'xfmr.swiglu' op result has shape [3, 4] for an input of shape [?, 4]: the first dimensions differ}}
  %0 = xfmr.swiglu %g, %g : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<3x4xbf16>
  return
}

// -----

func.func @f(%g: tensor<?x4xbf16>) {
  // expected-error @+1 {{'xfmr.swiglu' op result element type 'f32' differs from that of 'gate', 'bf16'}}
  %0 = xfmr.swiglu %g, %g : (tensor<?x4xbf16>, tensor<?x4xbf16>) -> tensor<?x4xf32>
  return
}

// -----

func.func @f(%g: tensor<?x4xbf16>) {
  // expected-error @+1 {{'xfmr.swiglu' op 'gate' has shape [?, 4], a result of shape [?, 4] from one operand needs [?, 8]}}
  %0 = xfmr.swiglu %g : (tensor<?x4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%g: tensor<?x4xbf16>, %u: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.swiglu' op 'up' has type 'tensor<?x8xbf16>', 'gate' has 'tensor<?x4xbf16>'}}
  %0 = xfmr.swiglu %g, %u : (tensor<?x4xbf16>, tensor<?x8xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%g: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.swiglu' op 'gate' has shape [?, 8], a result of shape [?, 4] needs [?, 4]}}
  %0 = xfmr.swiglu %g, %g : (tensor<?x8xbf16>, tensor<?x8xbf16>) -> tensor<?x4xbf16>
  return
}
