// Messages about qk_norm_rope_write.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op result has type '!xfmr.kv<1, 16, 8, bf16, token_major>', 'kv' has '!xfmr.kv<2, 16, 8, bf16, token_major>'}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<?x4x8xbf16>, !xfmr.kv<1, 16, 8, bf16, token_major>)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op result has shape [3, 4, 8] for an input of shape [?, 64]: the first dimensions differ}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<3x4x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op result element type 'f32' differs from that of 'qkv', 'bf16'}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<?x4x8xf32>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op 'q' of shape [?, 3, 8] has 3 heads, not a multiple of the cache's 2}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<?x3x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op 'qkv' of shape [?, 64] needs 48 columns for 'q' [?, 2, 8] and cache '!xfmr.kv<2, 16, 8, bf16, token_major>'}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<?x2x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x4xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op 'table' has shape [64, 4], the cache's head_dim needs [?, 8]}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x4xf32>, !xfmr.batch) -> (tensor<?x4x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op 'eps' must be finite and not negative}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b {eps = 0x7FC00000 : f32} : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<?x4x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>, %s: tensor<8xf32>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op 'k_scale' has shape [8], one scale per layer needs [1]}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b k_scale %s : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch, tensor<8xf32>) -> (tensor<?x4x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op 'q_gamma' and 'k_gamma' must both be there or both be absent}}
  %q, %0 = "xfmr.qk_norm_rope_write"(%qkv, %kv, %t, %b, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>} : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch, tensor<8xbf16>) -> (tensor<?x4x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>, %m: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op 'q_gamma' has shape [4], the cache's head_dim needs [8]}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b norm %m, %n : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch, tensor<4xbf16>, tensor<8xbf16>) -> (tensor<?x4x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>, %m: tensor<4xbf16>) {
  // expected-error @+1 {{'xfmr.qk_norm_rope_write' op 'k_gamma' has shape [4], the cache's head_dim needs [8]}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b norm %n, %m : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch, tensor<8xbf16>, tensor<4xbf16>) -> (tensor<?x4x8xbf16>, !kv)
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %qkv: tensor<?x64xbf16>, %t: tensor<64x8xf32>, %b: !xfmr.batch, %n: tensor<8xbf16>, %k: tensor<?x2x8xbf16>) {
  // expected-error-re @+1 {{'xfmr.qk_norm_rope_write' op consumes a cache handle that xfmr.kv_write at {{.*}} consumes too}}
  %q, %0 = xfmr.qk_norm_rope_write %qkv, %kv, %t, %b : (tensor<?x64xbf16>, !kv, tensor<64x8xf32>, !xfmr.batch) -> (tensor<?x4x8xbf16>, !kv)
  %1 = xfmr.kv_write %kv, %k, %k, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  return
}
