// The bundled checkpoint: tied embedding, q/k norm, GQA 2:1, no bias.
// REQUIRES: sinter-compile
// RUN: sinter-compile %models/shakespeare --emit=xfmr | FileCheck %s

// CHECK: module attributes {xfmr.model = {{.*}}layers = 6{{.*}}name = "shakespeare"
// CHECK: xfmr.weight @embed : tensor<1536x256xbf16> from [#xfmr.source<"model.embed_tokens.weight", 0, 1536>]
// CHECK: xfmr.weight @layers.0.attn.k_scale : tensor<1xf32> from #xfmr.k_scale<"model.layers.0.self_attn.k_norm.weight", 128>
// CHECK-NOT: xfmr.weight @lm_head
// CHECK: func.func @step(%[[TOKENS:.*]]: tensor<?xi32> {{.*}}, %[[ROWS:.*]]: tensor<?xi32> {{.*}}, %[[BATCH:.*]]: !xfmr.batch {{.*}}, %[[KV0:kv0]]: !xfmr.kv<2, 16, 128, bf16, token_major>
// CHECK-SAME: xfmr.entry, xfmr.tokens = array<i64: 1, 1024>
// CHECK: %[[X:.*]] = xfmr.embedding %[[TOKENS]]
// CHECK: %[[N:layers.0.attn.norm]] = xfmr.rms_norm %[[X]], %{{.*}} {eps = 9.99999997E-7 : f32}
// CHECK: %[[Q:layers.0.attn.q]] = xfmr.linear %[[N]]
// CHECK: xfmr.split_heads %[[Q]] : (tensor<?x512xbf16>) -> tensor<?x4x128xbf16>
// CHECK: xfmr.rms_norm {{.*}} : (tensor<?x4x128xbf16>, tensor<128xbf16>)
// CHECK: %[[QR:.*]] = xfmr.rope
// CHECK: xfmr.linear %[[N]]
// CHECK: %[[KR:.*]] = xfmr.rope
// CHECK: %[[V:.*]] = xfmr.linear %[[N]]
// CHECK: %[[VH:.*]] = xfmr.split_heads %[[V]]
// CHECK: %[[KV:.*]] = xfmr.kv_write %[[KV0]], %[[KR]], %[[VH]], %[[BATCH]] k_scale %[[KS:.*]] :
// CHECK: %[[A:.*]] = xfmr.attention %[[QR]], %[[KV]], %[[BATCH]] k_scale %[[KS]] {scale = 0.0883883461 : f32}
// CHECK: %[[M:.*]] = xfmr.merge_heads %[[A]]
// CHECK: %[[O:.*]] = xfmr.linear %[[M]]
// CHECK: %[[R:.*]] = xfmr.add %[[X]], %[[O]]
// CHECK: %[[N2:.*]] = xfmr.rms_norm %[[R]]
// CHECK: %[[G:.*]] = xfmr.linear %[[N2]]
// CHECK: %[[U:.*]] = xfmr.linear %[[N2]]
// CHECK: %[[S:.*]] = xfmr.swiglu %[[G]], %[[U]]
// CHECK: %[[D:.*]] = xfmr.linear %[[S]]
// CHECK: xfmr.add %[[R]], %[[D]]
// CHECK: %[[LAST:layers.5.mlp.residual]] = xfmr.add
// CHECK: %[[SEL:.*]] = xfmr.select_rows %[[LAST]], %[[ROWS]]
// CHECK: %[[FN:.*]] = xfmr.rms_norm %[[SEL]]
// CHECK: %[[L:.*]] = xfmr.linear %[[FN]], {{.*}} -> tensor<?x1536xf32>
// CHECK: return %[[L]], %[[KV]], %layers.1.attn.kv_write
