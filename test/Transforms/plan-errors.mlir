// RUN: sinter-opt %s --xfmr-plan --split-input-file --verify-diagnostics

func.func @unbounded(%x: tensor<?x32xbf16>) -> tensor<?x32xbf16> attributes {xfmr.entry} {
  // expected-error@+1 {{a step to be planned needs 'xfmr.tokens' to bound 'tensor<?x32xbf16>'}}
  %y = xfmr.add %x, %x : tensor<?x32xbf16>
  %z = xfmr.add %y, %x : tensor<?x32xbf16>
  return %z : tensor<?x32xbf16>
}

// -----

func.func @passes_through(%x: tensor<4x32xbf16>) -> tensor<4x32xbf16> attributes {xfmr.entry} {
  // expected-error@+1 {{returns a tensor that no op of the step computes}}
  return %x : tensor<4x32xbf16>
}

// -----

func.func @twice(%x: tensor<4x32xbf16>) -> (tensor<4x32xbf16>, tensor<4x32xbf16>)
    attributes {xfmr.entry} {
  %y = xfmr.add %x, %x : tensor<4x32xbf16>
  // expected-error@+1 {{returns one tensor twice}}
  return %y, %y : tensor<4x32xbf16>, tensor<4x32xbf16>
}
