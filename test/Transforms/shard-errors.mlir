// What cannot be sharded is refused by name.
// RUN: sinter-opt %s --split-input-file --verify-diagnostics --xfmr-shard=ranks=2

func.func @fused(%x: tensor<?x8xbf16>, %g: tensor<8xbf16>, %w: tensor<4x8xbf16>) -> tensor<?x4xbf16>
    attributes {xfmr.entry} {
  // expected-error @+1 {{cannot shard: xfmr.rms_norm_linear is no op of an imported graph (shard before the fusions)}}
  %0 = xfmr.rms_norm_linear %x, %g, %w {eps = 1.0e-6 : f32}
      : (tensor<?x8xbf16>, tensor<8xbf16>, tensor<4x8xbf16>) -> tensor<?x4xbf16>
  return %0 : tensor<?x4xbf16>
}

// -----

func.func @no_role(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>, %g: tensor<8xbf16>) -> tensor<?x8xbf16>
    attributes {xfmr.entry} {
  // expected-error @+1 {{cannot shard: neither heads, swiglu nor logits around this linear}}
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %1 = xfmr.rms_norm %0, %g {eps = 1.0e-6 : f32} : (tensor<?x8xbf16>, tensor<8xbf16>) -> tensor<?x8xbf16>
  return %1 : tensor<?x8xbf16>
}

// -----

func.func @not_a_weight(%x: tensor<?x8xbf16>, %w: tensor<8x8xbf16>) -> tensor<?x8xbf16>
    attributes {xfmr.entry} {
  // expected-error @+1 {{cannot shard: its weight is not an xfmr.weight}}
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %0 : tensor<?x8xbf16>
}

// -----

xfmr.weight @rope : tensor<8x8xf32> from #xfmr.rope_table<1.0, [1.0, 0.5, 0.25, 0.125]>
func.func @no_sources(%x: tensor<?x8xbf16>) -> tensor<?x8xbf16> attributes {xfmr.entry} {
  %w = xfmr.get_weight @rope : tensor<8x8xf32>
  // expected-error @+1 {{cannot shard: @rope has no checkpoint sources}}
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xf32>) -> tensor<?x8xbf16>
  return %0 : tensor<?x8xbf16>
}

// -----

// One weight, wanted by rows here and by columns there.
xfmr.weight @w : tensor<8x8xbf16> from [#xfmr.source<"a", 0, 8>]
func.func @two_rules(%x: tensor<?x8xbf16>) -> tensor<?x8xbf16> attributes {xfmr.entry} {
  %w = xfmr.get_weight @w : tensor<8x8xbf16>
  %g = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  %h = xfmr.swiglu %g, %g : (tensor<?x8xbf16>, tensor<?x8xbf16>) -> tensor<?x8xbf16>
  // expected-error @+1 {{cannot shard: @w is split by rows for another user, here by columns}}
  %y = xfmr.linear %h, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %y : tensor<?x8xbf16>
}

// -----

// Rows of each source must divide, not only their sum.
xfmr.weight @w : tensor<8x8xbf16> from [#xfmr.source<"a", 0, 5>, #xfmr.source<"b", 0, 3>]
func.func @odd_source(%x: tensor<?x8xbf16>) -> tensor<?x8xbf16> attributes {xfmr.entry} {
  %w = xfmr.get_weight @w : tensor<8x8xbf16>
  // expected-error @+1 {{cannot shard: 5 rows of a do not divide among 2 ranks}}
  %0 = xfmr.linear %x, %w : (tensor<?x8xbf16>, tensor<8x8xbf16>) -> tensor<?x8xbf16>
  return %0 : tensor<?x8xbf16>
}
