// Messages about cache handles, kv_write and attention.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch) {
  // expected-error @+1 {{'xfmr.kv_write' op result has type '!xfmr.kv<4, 16, 8, bf16, token_major>', 'kv' has '!xfmr.kv<2, 16, 8, bf16, token_major>'}}
  %0 = xfmr.kv_write %kv, %k, %k, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !xfmr.kv<4, 16, 8, bf16, token_major>
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch, %h: tensor<?x4x8xbf16>) {
  // expected-error @+1 {{'xfmr.kv_write' op 'k' has shape [?, 4, 8], a cache of type !xfmr.kv<2, 16, 8, bf16, token_major> needs [?, 2, 8]}}
  %0 = xfmr.kv_write %kv, %h, %k, %b : (!kv, tensor<?x4x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch, %h: tensor<?x4x8xbf16>) {
  // expected-error @+1 {{'xfmr.kv_write' op 'v' has shape [?, 4, 8], a cache of type !xfmr.kv<2, 16, 8, bf16, token_major> needs [?, 2, 8]}}
  %0 = xfmr.kv_write %kv, %k, %h, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x4x8xbf16>, !xfmr.batch) -> !kv
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch, %h: tensor<?x2x8xf32>) {
  // expected-error @+1 {{'xfmr.kv_write' op 'k' has type 'tensor<?x2x8xbf16>', 'v' has 'tensor<?x2x8xf32>'}}
  %0 = xfmr.kv_write %kv, %k, %h, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xf32>, !xfmr.batch) -> !kv
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch, %s: tensor<2xf32>) {
  // expected-error @+1 {{'xfmr.kv_write' op 'k_scale' has shape [2], one scale per layer needs [1]}}
  %0 = xfmr.kv_write %kv, %k, %k, %b k_scale %s : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch, tensor<2xf32>) -> !kv
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch) {
  // expected-error-re @+1 {{'xfmr.kv_write' op consumes a cache handle that xfmr.kv_write at {{.*}} consumes too}}
  %0 = xfmr.kv_write %kv, %k, %k, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  %1 = xfmr.kv_write %kv, %k, %k, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch) {
  %0 = xfmr.kv_write %kv, %k, %k, %b : (!kv, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !kv
  // expected-error-re @+1 {{'xfmr.attention' op reads a stale cache handle: xfmr.kv_write at {{.*}} has consumed it}}
  %1 = xfmr.attention %k, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xbf16>
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch) {
  // expected-error @+1 {{'xfmr.attention' op result has type 'tensor<?x2x8xf32>', 'q' has 'tensor<?x2x8xbf16>'}}
  %1 = xfmr.attention %k, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch) -> tensor<?x2x8xf32>
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch, %s: tensor<2xf32>) {
  // expected-error @+1 {{'xfmr.attention' op 'k_scale' has shape [2], one scale per layer needs [1]}}
  %1 = xfmr.attention %k, %kv, %b k_scale %s {scale = 0.5 : f32} : (tensor<?x2x8xbf16>, !kv, !xfmr.batch, tensor<2xf32>) -> tensor<?x2x8xbf16>
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch, %q: tensor<?x2x4xbf16>) {
  // expected-error @+1 {{'xfmr.attention' op 'q' has shape [?, 2, 4], a cache of type !xfmr.kv<2, 16, 8, bf16, token_major> needs [?, 2, 8]}}
  %1 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32} : (tensor<?x2x4xbf16>, !kv, !xfmr.batch) -> tensor<?x2x4xbf16>
  return
}

// -----

!kv = !xfmr.kv<2, 16, 8, bf16, token_major>
func.func @f(%kv: !kv, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch, %q: tensor<?x3x8xbf16>) {
  // expected-error @+1 {{'xfmr.attention' op 'q' of shape [?, 3, 8] has 3 heads, not a multiple of the cache's 2}}
  %1 = xfmr.attention %q, %kv, %b {scale = 0.5 : f32} : (tensor<?x3x8xbf16>, !kv, !xfmr.batch) -> tensor<?x3x8xbf16>
  return
}
