// Messages about types, attributes, weights and functions.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{expected replicated, rows, columns or rank0}}
xfmr.weight @w : tensor<8xf32> from [#xfmr.source<"a", 0, 8, diagonal, 2>]

// -----

// expected-error @+1 {{source "a": rows [4, 4) are empty or negative}}
xfmr.weight @w : tensor<8xf32> from [#xfmr.source<"a", 4, 4>]

// -----

// expected-error @+1 {{source "a": rows [-1, 4) are empty or negative}}
xfmr.weight @w : tensor<8xf32> from [#xfmr.source<"a", -1, 4>]

// -----

// expected-error @+1 {{source "a": 0 ranks with rule rows}}
xfmr.weight @w : tensor<8xf32> from [#xfmr.source<"a", 0, 8, rows, 0>]

// -----

// expected-error @+1 {{source "a": 2 ranks with rule replicated}}
xfmr.weight @w : tensor<8xf32> from [#xfmr.source<"a", 0, 8, replicated, 2>]

// -----

// expected-error @+1 {{source "a": 8 rows do not divide among 3 ranks}}
xfmr.weight @w : tensor<8xf32> from [#xfmr.source<"a", 0, 8, rows, 3>]

// -----

// expected-error @+1 {{expected token_major or k_packed}}
func.func private @f(!xfmr.kv<2, 16, 8, bf16, head_major>)

// -----

// expected-error @+1 {{cache needs at least one head, got 0}}
func.func private @f(!xfmr.kv<0, 16, 8, bf16, token_major>)

// -----

// expected-error @+1 {{cache page must be a power of two of tokens, got 12}}
func.func private @f(!xfmr.kv<2, 12, 8, bf16, token_major>)

// -----

// expected-error @+1 {{cache page must be a power of two of tokens, got 0}}
func.func private @f(!xfmr.kv<2, 0, 8, bf16, token_major>)

// -----

// expected-error @+1 {{cache head_dim must be even and positive, got 7}}
func.func private @f(!xfmr.kv<2, 16, 7, bf16, token_major>)

// -----

// expected-error @+1 {{cache element type must be bf16, f16, f32, f8E4M3FN or f8E5M2, got 'i8'}}
func.func private @f(!xfmr.kv<2, 16, 8, i8, token_major>)

// -----

// The form with infinities is another type than the one that GPUs convert to.
// expected-error @+1 {{cache element type must be bf16, f16, f32, f8E4M3FN or f8E5M2, got 'f8E4M3'}}
func.func private @f(!xfmr.kv<2, 16, 8, f8E4M3, token_major>)

// -----

// expected-error @+1 {{k_scale's room must be a power of two, got 448}}
xfmr.weight @w : tensor<1xf32> from #xfmr.k_scale<"k_norm", 8, 448>

// -----

// expected-error @+1 {{k_scale needs a positive head_dim, got 0}}
xfmr.weight @w : tensor<1xf32> from #xfmr.k_scale<"k_norm", 0>

// -----

// expected-error @+1 {{'builtin.module' op 'xfmr.entry' must be a unit attribute of a function}}
module attributes {xfmr.entry} {}

// -----

// expected-error @+1 {{'func.func' op 'xfmr.entry' must be a unit attribute of a function}}
func.func private @f() attributes {xfmr.entry = 1 : i64}

// -----

func.func @f(%kv: !xfmr.kv<2, 16, 8, bf16, token_major>) attributes {xfmr.entry} {
  // expected-error @+1 {{'func.return' op returns 0 cache handles, the entry function has 1}}
  return
}

// -----

func.func @f(%kv: !xfmr.kv<2, 16, 8, bf16, token_major>, %k: tensor<?x2x8xbf16>, %b: !xfmr.batch) -> !xfmr.kv<2, 16, 8, bf16, token_major> attributes {xfmr.entry} {
  %0 = xfmr.kv_write %kv, %k, %k, %b
      : (!xfmr.kv<2, 16, 8, bf16, token_major>, tensor<?x2x8xbf16>, tensor<?x2x8xbf16>, !xfmr.batch) -> !xfmr.kv<2, 16, 8, bf16, token_major>
  // expected-error-re @+1 {{'func.return' op returns a cache handle that xfmr.kv_write at {{.*}} has consumed}}
  return %kv : !xfmr.kv<2, 16, 8, bf16, token_major>
}

// -----

// expected-error @+1 {{'func.func' op 'xfmr.tokens' must be array<i64: lo, hi> with 1 <= lo <= hi, on a function}}
func.func private @f() attributes {xfmr.tokens = array<i64: 4, 2>}

// -----

// expected-error @+1 {{'func.func' op 'xfmr.tokens' must be array<i64: lo, hi> with 1 <= lo <= hi, on a function}}
func.func private @f() attributes {xfmr.tokens = array<i64: 0, 2>}

// -----

// expected-error @+1 {{'func.func' op 'xfmr.tokens' must be array<i64: lo, hi> with 1 <= lo <= hi, on a function}}
func.func private @f() attributes {xfmr.tokens = array<i64: 1>}

// -----

// expected-error @+1 {{'builtin.module' op 'xfmr.tokens' must be array<i64: lo, hi> with 1 <= lo <= hi, on a function}}
module attributes {xfmr.tokens = array<i64: 1, 2>} {}

// -----

// expected-error @+1 {{'func.func' op 'xfmr.head' must be "logits" or "argmax", on a function}}
func.func private @f() attributes {xfmr.head = "tail"}

// -----

// expected-error @+1 {{'func.func' op 'xfmr.max_q' must be a positive integer, on a function}}
func.func private @f() attributes {xfmr.max_q = 0 : i64}

// -----

// expected-error @+1 {{'func.func' op 'xfmr.max_rows' must be a positive integer, on a function}}
func.func private @f() attributes {xfmr.max_rows = "many"}

// -----

// expected-error @+1 {{'func.func' op 'xfmr.cover' must be "a", "b" or "c", on a function}}
func.func private @f() attributes {xfmr.cover = "d"}
