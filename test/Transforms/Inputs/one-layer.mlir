// One Qwen3 layer with tied embeddings, a bias on q, k, v and o: 8 heads over 4 kv heads of 4.
module {
  xfmr.weight @embed : tensor<32x16xbf16> from [#xfmr.source<"embed.weight", 0, 32>]
  xfmr.weight @layers.0.attn.norm : tensor<16xbf16> from [#xfmr.source<"input_norm.weight", 0, 16>]
  xfmr.weight @layers.0.attn.q : tensor<32x16xbf16> from [#xfmr.source<"q.weight", 0, 32>]
  xfmr.weight @layers.0.attn.q_bias : tensor<32xbf16> from [#xfmr.source<"q.bias", 0, 32>]
  xfmr.weight @layers.0.attn.q_norm : tensor<4xbf16> from [#xfmr.source<"q_norm.weight", 0, 4>]
  xfmr.weight @rope : tensor<64x4xf32> from #xfmr.rope_table<1.0, [1.0, 0.01]>
  xfmr.weight @layers.0.attn.k : tensor<16x16xbf16> from [#xfmr.source<"k.weight", 0, 16>]
  xfmr.weight @layers.0.attn.k_bias : tensor<16xbf16> from [#xfmr.source<"k.bias", 0, 16>]
  xfmr.weight @layers.0.attn.k_norm : tensor<4xbf16> from [#xfmr.source<"k_norm.weight", 0, 4>]
  xfmr.weight @layers.0.attn.v : tensor<16x16xbf16> from [#xfmr.source<"v.weight", 0, 16>]
  xfmr.weight @layers.0.attn.v_bias : tensor<16xbf16> from [#xfmr.source<"v.bias", 0, 16>]
  xfmr.weight @layers.0.attn.k_scale : tensor<1xf32> from #xfmr.k_scale<"k_norm.weight", 4>
  xfmr.weight @layers.0.attn.o : tensor<16x32xbf16> from [#xfmr.source<"o.weight", 0, 16>]
  xfmr.weight @layers.0.attn.o_bias : tensor<16xbf16> from [#xfmr.source<"o.bias", 0, 16>]
  xfmr.weight @layers.0.mlp.norm : tensor<16xbf16> from [#xfmr.source<"post_norm.weight", 0, 16>]
  xfmr.weight @layers.0.mlp.gate : tensor<24x16xbf16> from [#xfmr.source<"gate.weight", 0, 24>]
  xfmr.weight @layers.0.mlp.up : tensor<24x16xbf16> from [#xfmr.source<"up.weight", 0, 24>]
  xfmr.weight @layers.0.mlp.down : tensor<16x24xbf16> from [#xfmr.source<"down.weight", 0, 16>]
  xfmr.weight @norm : tensor<16xbf16> from [#xfmr.source<"norm.weight", 0, 16>]

  func.func @step(%tokens: tensor<?xi32>, %rows: tensor<?xi32>, %batch: !xfmr.batch,
                  %kv0: !xfmr.kv<4, 16, 4, bf16, token_major>)
      -> (tensor<?x32xf32>, !xfmr.kv<4, 16, 4, bf16, token_major>)
      attributes {xfmr.entry, xfmr.tokens = array<i64: 1, 600>} {
    %embed = xfmr.get_weight @embed : tensor<32x16xbf16>
    %x = xfmr.embedding %tokens, %embed
        : (tensor<?xi32>, tensor<32x16xbf16>) -> tensor<?x16xbf16> loc("embed")
    %g0 = xfmr.get_weight @layers.0.attn.norm : tensor<16xbf16>
    %n0 = xfmr.rms_norm %x, %g0 {eps = 1.0e-6 : f32}
        : (tensor<?x16xbf16>, tensor<16xbf16>) -> tensor<?x16xbf16> loc("layers.0.attn.norm")
    %wq = xfmr.get_weight @layers.0.attn.q : tensor<32x16xbf16>
    %bq = xfmr.get_weight @layers.0.attn.q_bias : tensor<32xbf16>
    %q0 = xfmr.linear %n0, %wq bias %bq
        : (tensor<?x16xbf16>, tensor<32x16xbf16>, tensor<32xbf16>) -> tensor<?x32xbf16>
        loc("layers.0.attn.q")
    %q1 = xfmr.split_heads %q0 : (tensor<?x32xbf16>) -> tensor<?x8x4xbf16> loc("layers.0.attn.q_heads")
    %gq = xfmr.get_weight @layers.0.attn.q_norm : tensor<4xbf16>
    %q2 = xfmr.rms_norm %q1, %gq {eps = 1.0e-6 : f32}
        : (tensor<?x8x4xbf16>, tensor<4xbf16>) -> tensor<?x8x4xbf16> loc("layers.0.attn.q_norm")
    %rope = xfmr.get_weight @rope : tensor<64x4xf32>
    %q3 = xfmr.rope %q2, %rope, %batch
        : (tensor<?x8x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x8x4xbf16>
        loc("layers.0.attn.q_rope")
    %wk = xfmr.get_weight @layers.0.attn.k : tensor<16x16xbf16>
    %bk = xfmr.get_weight @layers.0.attn.k_bias : tensor<16xbf16>
    %k0 = xfmr.linear %n0, %wk bias %bk
        : (tensor<?x16xbf16>, tensor<16x16xbf16>, tensor<16xbf16>) -> tensor<?x16xbf16>
        loc("layers.0.attn.k")
    %k1 = xfmr.split_heads %k0 : (tensor<?x16xbf16>) -> tensor<?x4x4xbf16> loc("layers.0.attn.k_heads")
    %gk = xfmr.get_weight @layers.0.attn.k_norm : tensor<4xbf16>
    %k2 = xfmr.rms_norm %k1, %gk {eps = 1.0e-6 : f32}
        : (tensor<?x4x4xbf16>, tensor<4xbf16>) -> tensor<?x4x4xbf16> loc("layers.0.attn.k_norm")
    %rope2 = xfmr.get_weight @rope : tensor<64x4xf32>
    %k3 = xfmr.rope %k2, %rope2, %batch
        : (tensor<?x4x4xbf16>, tensor<64x4xf32>, !xfmr.batch) -> tensor<?x4x4xbf16>
        loc("layers.0.attn.k_rope")
    %wv = xfmr.get_weight @layers.0.attn.v : tensor<16x16xbf16>
    %bv = xfmr.get_weight @layers.0.attn.v_bias : tensor<16xbf16>
    %v0 = xfmr.linear %n0, %wv bias %bv
        : (tensor<?x16xbf16>, tensor<16x16xbf16>, tensor<16xbf16>) -> tensor<?x16xbf16>
        loc("layers.0.attn.v")
    %v1 = xfmr.split_heads %v0 : (tensor<?x16xbf16>) -> tensor<?x4x4xbf16> loc("layers.0.attn.v_heads")
    %ks = xfmr.get_weight @layers.0.attn.k_scale : tensor<1xf32>
    %kv1 = xfmr.kv_write %kv0, %k3, %v1, %batch k_scale %ks
        : (!xfmr.kv<4, 16, 4, bf16, token_major>, tensor<?x4x4xbf16>, tensor<?x4x4xbf16>, !xfmr.batch,
           tensor<1xf32>) -> !xfmr.kv<4, 16, 4, bf16, token_major> loc("layers.0.attn.kv_write")
    %a = xfmr.attention %q3, %kv1, %batch k_scale %ks {scale = 0.5 : f32}
        : (tensor<?x8x4xbf16>, !xfmr.kv<4, 16, 4, bf16, token_major>, !xfmr.batch, tensor<1xf32>)
        -> tensor<?x8x4xbf16> loc("layers.0.attn.attention")
    %m = xfmr.merge_heads %a : (tensor<?x8x4xbf16>) -> tensor<?x32xbf16> loc("layers.0.attn.heads")
    %wo = xfmr.get_weight @layers.0.attn.o : tensor<16x32xbf16>
    %bo = xfmr.get_weight @layers.0.attn.o_bias : tensor<16xbf16>
    %o = xfmr.linear %m, %wo bias %bo
        : (tensor<?x32xbf16>, tensor<16x32xbf16>, tensor<16xbf16>) -> tensor<?x16xbf16>
        loc("layers.0.attn.o")
    %x1 = xfmr.add %x, %o : tensor<?x16xbf16> loc("layers.0.attn.residual")
    %g1 = xfmr.get_weight @layers.0.mlp.norm : tensor<16xbf16>
    %n1 = xfmr.rms_norm %x1, %g1 {eps = 1.0e-6 : f32}
        : (tensor<?x16xbf16>, tensor<16xbf16>) -> tensor<?x16xbf16> loc("layers.0.mlp.norm")
    %wg = xfmr.get_weight @layers.0.mlp.gate : tensor<24x16xbf16>
    %gate = xfmr.linear %n1, %wg
        : (tensor<?x16xbf16>, tensor<24x16xbf16>) -> tensor<?x24xbf16> loc("layers.0.mlp.gate")
    %wu = xfmr.get_weight @layers.0.mlp.up : tensor<24x16xbf16>
    %up = xfmr.linear %n1, %wu
        : (tensor<?x16xbf16>, tensor<24x16xbf16>) -> tensor<?x24xbf16> loc("layers.0.mlp.up")
    %h = xfmr.swiglu %gate, %up
        : (tensor<?x24xbf16>, tensor<?x24xbf16>) -> tensor<?x24xbf16> loc("layers.0.mlp.swiglu")
    %wd = xfmr.get_weight @layers.0.mlp.down : tensor<16x24xbf16>
    %d = xfmr.linear %h, %wd
        : (tensor<?x24xbf16>, tensor<16x24xbf16>) -> tensor<?x16xbf16> loc("layers.0.mlp.down")
    %x2 = xfmr.add %x1, %d : tensor<?x16xbf16> loc("layers.0.mlp.residual")
    %s = xfmr.select_rows %x2, %rows
        : (tensor<?x16xbf16>, tensor<?xi32>) -> tensor<?x16xbf16> loc("select_rows")
    %g2 = xfmr.get_weight @norm : tensor<16xbf16>
    %n2 = xfmr.rms_norm %s, %g2 {eps = 1.0e-6 : f32}
        : (tensor<?x16xbf16>, tensor<16xbf16>) -> tensor<?x16xbf16> loc("norm")
    %wh = xfmr.get_weight @embed : tensor<32x16xbf16>
    %logits = xfmr.linear %n2, %wh
        : (tensor<?x16xbf16>, tensor<32x16xbf16>) -> tensor<?x32xf32> loc("lm_head")
    return %logits, %kv1 : tensor<?x32xf32>, !xfmr.kv<4, 16, 4, bf16, token_major>
  }
}
