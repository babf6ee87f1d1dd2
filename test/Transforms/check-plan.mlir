// The check on plans, shown to fail on broken ones.
// RUN: sinter-opt %s --xfmr-check-plan --split-input-file --verify-diagnostics

// A sound plan with an overwritten operand.
module attributes {xfmr.arena_bytes = 128 : i64} {
  func.func @sound(%x: tensor<1x32xbf16>) -> tensor<1x32xbf16> attributes {xfmr.entry} {
    %a = xfmr.add %x, %x {xfmr.buffers = array<i64: 0>} : tensor<1x32xbf16>
    %b = xfmr.add %x, %x {xfmr.buffers = array<i64: 64>} : tensor<1x32xbf16>
    %c = xfmr.add %a, %b {xfmr.buffers = array<i64: 0>} : tensor<1x32xbf16>
    %d = xfmr.add %c, %b {xfmr.buffers = array<i64: -2>} : tensor<1x32xbf16>
    return %d : tensor<1x32xbf16>
  }
}

// -----

module attributes {xfmr.arena_bytes = 128 : i64} {
  func.func @overlap(%x: tensor<1x32xbf16>) -> tensor<1x32xbf16> attributes {xfmr.entry} {
    %a = xfmr.add %x, %x {xfmr.buffers = array<i64: 0>} : tensor<1x32xbf16>
    %b = xfmr.add %x, %x {xfmr.buffers = array<i64: 32>} : tensor<1x32xbf16>
    // expected-error@+1 {{reads a buffer that was overwritten, the result of xfmr.add at}}
    %c = xfmr.add %a, %b {xfmr.buffers = array<i64: -2>} : tensor<1x32xbf16>
    return %c : tensor<1x32xbf16>
  }
}

// -----

module attributes {xfmr.arena_bytes = 128 : i64} {
  func.func @second_operand(%x: tensor<1x32xbf16>) -> tensor<1x32xbf16> attributes {xfmr.entry} {
    %a = xfmr.add %x, %x {xfmr.buffers = array<i64: 0>} : tensor<1x32xbf16>
    // expected-error@+1 {{overwrites its operand 1}}
    %b = xfmr.add %x, %a {xfmr.buffers = array<i64: 0>} : tensor<1x32xbf16>
    %c = xfmr.add %b, %b {xfmr.buffers = array<i64: -2>} : tensor<1x32xbf16>
    return %c : tensor<1x32xbf16>
  }
}

// -----

module attributes {xfmr.arena_bytes = 128 : i64} {
  func.func @shifted(%x: tensor<1x32xbf16>) -> tensor<1x32xbf16> attributes {xfmr.entry} {
    %a = xfmr.add %x, %x {xfmr.buffers = array<i64: 0>} : tensor<1x32xbf16>
    // expected-error@+1 {{overwrites its operand 0}}
    %b = xfmr.add %a, %x {xfmr.buffers = array<i64: 32>} : tensor<1x32xbf16>
    %c = xfmr.add %b, %b {xfmr.buffers = array<i64: -2>} : tensor<1x32xbf16>
    return %c : tensor<1x32xbf16>
  }
}

// -----

module attributes {xfmr.arena_bytes = 64 : i64} {
  func.func @outside(%x: tensor<1x32xbf16>) -> tensor<1x32xbf16> attributes {xfmr.entry} {
    // expected-error@+1 {{writes bytes [64, 128) of an arena of 64}}
    %a = xfmr.add %x, %x {xfmr.buffers = array<i64: 64>} : tensor<1x32xbf16>
    %b = xfmr.add %a, %a {xfmr.buffers = array<i64: -2>} : tensor<1x32xbf16>
    return %b : tensor<1x32xbf16>
  }
}

// -----

module attributes {xfmr.arena_bytes = 64 : i64} {
  func.func @view(%x: tensor<1x32xbf16>) -> tensor<1x4x8xbf16> attributes {xfmr.entry} {
    %a = xfmr.add %x, %x {xfmr.buffers = array<i64: -2>} : tensor<1x32xbf16>
    // expected-error@+1 {{is a view at 0 of a buffer at -2}}
    %b = xfmr.split_heads %a {xfmr.buffers = array<i64: 0>} : (tensor<1x32xbf16>) -> tensor<1x4x8xbf16>
    return %b : tensor<1x4x8xbf16>
  }
}

// -----

module attributes {xfmr.arena_bytes = 64 : i64} {
  func.func @unplanned(%x: tensor<1x32xbf16>) -> tensor<1x32xbf16> attributes {xfmr.entry} {
    // expected-error@+1 {{has no 'xfmr.buffers'}}
    %a = xfmr.add %x, %x : tensor<1x32xbf16>
    return %a : tensor<1x32xbf16>
  }
}

// -----

// Two results of one op in the same place.
module attributes {xfmr.arena_bytes = 64 : i64} {
  func.func @results(%x: tensor<1x32xbf16>, %g: tensor<32xbf16>) -> tensor<1x32xbf16>
      attributes {xfmr.entry} {
    // expected-error@+1 {{writes two results to the same bytes}}
    %s, %n = xfmr.add_rms_norm %x, %x, %g {eps = 1.0e-6 : f32, xfmr.buffers = array<i64: 0, 0>}
        : (tensor<1x32xbf16>, tensor<1x32xbf16>, tensor<32xbf16>) -> (tensor<1x32xbf16>, tensor<1x32xbf16>)
    %a = xfmr.add %s, %n {xfmr.buffers = array<i64: -2>} : tensor<1x32xbf16>
    return %a : tensor<1x32xbf16>
  }
}
