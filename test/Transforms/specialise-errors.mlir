// What cannot be specialised is refused by name.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics --xfmr-specialise

// expected-error @+1 {{needs 'xfmr.tokens' and a vector of i32 tokens to be specialised}}
func.func @step(%tokens: tensor<?xi32>, %x: tensor<?x8xf32>) -> tensor<?x8xf32> attributes {xfmr.entry} {
  return %x : tensor<?x8xf32>
}

// -----

// expected-error @+1 {{needs 'xfmr.tokens' and a vector of i32 tokens to be specialised}}
func.func @step(%x: tensor<?x8xf32>) -> tensor<?x8xf32>
    attributes {xfmr.entry, xfmr.tokens = array<i64: 1, 8>} {
  return %x : tensor<?x8xf32>
}

// -----

// expected-error @+1 {{must return one matrix, the logits, to be specialised}}
func.func @step(%tokens: tensor<?xi32>, %x: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>)
    attributes {xfmr.entry, xfmr.tokens = array<i64: 1, 8>} {
  return %x, %x : tensor<?x8xf32>, tensor<?x8xf32>
}
