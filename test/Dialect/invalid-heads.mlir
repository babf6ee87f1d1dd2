// Messages about heads, rows, argmax and collectives.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics

func.func @f(%x: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.split_heads' op result has shape [3, 2, 4] for an input of shape [?, 8]: the first dimensions differ}}
  %0 = xfmr.split_heads %x : (tensor<?x8xbf16>) -> tensor<3x2x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.split_heads' op result element type 'f32' differs from that of 'x', 'bf16'}}
  %0 = xfmr.split_heads %x : (tensor<?x8xbf16>) -> tensor<?x2x4xf32>
  return
}

// -----

func.func @f(%x: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.split_heads' op columns [4, 12) are not inside 'x' of shape [?, 8]}}
  %0 = xfmr.split_heads %x {offset = 4 : i64} : (tensor<?x8xbf16>) -> tensor<?x2x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x8xbf16>) {
  // expected-error @+1 {{'xfmr.split_heads' op columns [-4, 4) are not inside 'x' of shape [?, 8]}}
  %0 = xfmr.split_heads %x {offset = -4 : i64} : (tensor<?x8xbf16>) -> tensor<?x2x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x2x4xbf16>) {
  // expected-error @+1 {{'xfmr.merge_heads' op result element type 'f32' differs from that of 'x', 'bf16'}}
  %0 = xfmr.merge_heads %x : (tensor<?x2x4xbf16>) -> tensor<?x8xf32>
  return
}

// -----

func.func @f(%x: tensor<?x2x4xbf16>) {
  // expected-error @+1 {{'xfmr.merge_heads' op 'result' has shape [?, 4], 'x' of shape [?, 2, 4] needs [?, 8]}}
  %0 = xfmr.merge_heads %x : (tensor<?x2x4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x2x4xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch) {
  // expected-error @+1 {{'xfmr.rope' op result has type 'tensor<?x2x4xf32>', 'x' has 'tensor<?x2x4xbf16>'}}
  %0 = xfmr.rope %x, %t, %b : (tensor<?x2x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x2x4xf32>
  return
}

// -----

func.func @f(%x: tensor<?x2x4xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch) {
  // expected-error @+1 {{'xfmr.rope' op 'table' has shape [64, 8], 'x' of shape [?, 2, 4] needs [?, 4]}}
  %0 = xfmr.rope %x, %t, %b : (tensor<?x2x4xbf16>, tensor<64x8xf32>, !xfmr.batch) -> tensor<?x2x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %r: tensor<?xi32>) {
  // expected-error @+1 {{'xfmr.select_rows' op result element type 'f32' differs from that of 'x', 'bf16'}}
  %0 = xfmr.select_rows %x, %r : (tensor<?x4xbf16>, tensor<?xi32>) -> tensor<?x4xf32>
  return
}

// -----

func.func @f(%x: tensor<?x4xbf16>, %r: tensor<2xi32>) {
  // expected-error @+1 {{'xfmr.select_rows' op 'result' has shape [3, 4], 'rows' [2] of 'x' [?, 4] needs [2, 4]}}
  %0 = xfmr.select_rows %x, %r : (tensor<?x4xbf16>, tensor<2xi32>) -> tensor<3x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>) {
  // expected-error @+1 {{'xfmr.argmax' op 'value' has shape [3], 'x' of shape [2, 4] needs [2]}}
  %v, %i = xfmr.argmax %x : (tensor<2x4xf32>) -> (tensor<3xf32>, tensor<2xi32>)
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>) {
  // expected-error @+1 {{'xfmr.argmax' op 'index' has shape [3], 'x' of shape [2, 4] needs [2]}}
  %v, %i = xfmr.argmax %x : (tensor<2x4xf32>) -> (tensor<2xf32>, tensor<3xi32>)
  return
}

// -----

func.func @f(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{'xfmr.all_reduce' op 'ranks' must be positive, got -2}}
  %0 = xfmr.all_reduce %x {ranks = -2 : i64} : tensor<?x4xf32>
  return
}

// -----

func.func @f(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{'xfmr.all_reduce' op result has type 'tensor<1x4xf32>', 'x' has 'tensor<?x4xf32>'}}
  %0 = "xfmr.all_reduce"(%x) {ranks = 2 : i64} : (tensor<?x4xf32>) -> tensor<1x4xf32>
  return
}

// -----

func.func @f(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{'xfmr.add' op result has type 'tensor<1x4xf32>', 'a' has 'tensor<?x4xf32>'}}
  %0 = "xfmr.add"(%x, %x) : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<1x4xf32>
  return
}

// -----

func.func @f(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{'xfmr.all_gather' op 'ranks' must be positive, got -1}}
  %0 = xfmr.all_gather %x {ranks = -1 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

func.func @f(%t: tensor<?xi32>, %w: tensor<8x4xbf16>) {
  // expected-error @+1 {{'xfmr.embedding' op 'vocab_parallel' must be positive, got -1}}
  %0 = xfmr.embedding %t, %w {vocab_parallel = -1 : i64} : (tensor<?xi32>, tensor<8x4xbf16>) -> tensor<?x4xbf16>
  return
}

// -----

func.func @f(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{'xfmr.all_gather' op 'ranks' must be positive, got 0}}
  %0 = xfmr.all_gather %x {ranks = 0 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

func.func @f(%x: tensor<?x4xf32>) {
  // expected-error @+1 {{'xfmr.all_gather' op 'result' has shape [?, 4], 'x' of shape [?, 4] needs [?, 8]}}
  %0 = xfmr.all_gather %x {ranks = 2 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

func.func @f(%q: tensor<?x2x4xbf16>, %kv: !xfmr.kv<1, 16, 4, bf16, token_major>, %b: !xfmr.batch) {
  // expected-error @+1 {{'xfmr.attention' op 'window' must be positive, got 0}}
  %0 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32, window = 0 : i32} : (tensor<?x2x4xbf16>, !xfmr.kv<1, 16, 4, bf16, token_major>, !xfmr.batch) -> tensor<?x2x4xbf16>
  return
}

// -----

func.func @f(%q: tensor<?x2x4xbf16>, %kv: !xfmr.kv<1, 16, 4, bf16, token_major>, %b: !xfmr.batch) {
  // expected-error @+1 {{'xfmr.attention' op 'window' must be positive, got -4}}
  %0 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32, window = -4 : i32} : (tensor<?x2x4xbf16>, !xfmr.kv<1, 16, 4, bf16, token_major>, !xfmr.batch) -> tensor<?x2x4xbf16>
  return
}

// -----

func.func @f(%q: tensor<?x2x4xbf16>, %kv: !xfmr.kv<1, 16, 4, bf16, token_major>, %b: !xfmr.batch) {
  // expected-error @+1 {{attribute 'window' failed to satisfy constraint: 32-bit signless integer attribute}}
  %0 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32, window = 4.0 : f32} : (tensor<?x2x4xbf16>, !xfmr.kv<1, 16, 4, bf16, token_major>, !xfmr.batch) -> tensor<?x2x4xbf16>
  return
}
