// Layers from max_window_layers on have a window; a file that says which pages may go only where all have.
// REQUIRES: sinter-compile
// RUN: rm -rf %t && mkdir -p %t/m && cp %models/shakespeare/model.safetensors %t/m/
// RUN: sed 's/"use_sliding_window": false/"use_sliding_window": true/; s/"sliding_window": null/"sliding_window": 100/; s/"max_window_layers": 6/"max_window_layers": 4/' %models/shakespeare/config.json > %t/m/config.json
// RUN: sinter-compile %t/m --emit=xfmr | FileCheck %s --check-prefix=SOME
// RUN: sinter-compile %t/m --config | FileCheck %s --check-prefix=CONFIG
// RUN: sinter-compile %t/m --emit=fused | FileCheck %s --check-prefix=FUSED
// RUN: sinter-compile %t/m -o %t/some.sinter
// RUN: sinter-inspect %t/some.sinter | FileCheck %s --check-prefix=KEPT --implicit-check-not="  window"
// RUN: sed -i 's/"max_window_layers": 4/"max_window_layers": 0/' %t/m/config.json
// RUN: sinter-compile %t/m -o %t/all.sinter
// RUN: sinter-inspect %t/all.sinter | FileCheck %s --check-prefix=FREED

// SOME-COUNT-4: xfmr.attention {{.*}} {scale = 0.0883883461 : f32} :
// SOME-COUNT-2: xfmr.attention {{.*}} {scale = 0.0883883461 : f32, window = 100 : i32} :
// SOME-NOT: xfmr.attention
// CONFIG: window              100 tokens in 2 of 6 layers
// FUSED: func.func @step_m1_
// FUSED-COUNT-4: xfmr.attention {{.*}}scale = 0.0883883461 : f32{{[,}]}} {{.*}}xfmr.buffers
// FUSED-COUNT-2: xfmr.attention {{.*}}window = 100 : i32
// KEPT: kv cache    bf16, 16 tokens per page
// FREED: kv cache    bf16, 16 tokens per page
// FREED-NEXT: window      100 tokens: pages that left it are reused
