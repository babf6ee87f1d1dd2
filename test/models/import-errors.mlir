// What is wrong with a model directory is said in one line, exit status 1.
// REQUIRES: sinter-compile
// RUN: rm -rf %t && mkdir -p %t/m
// RUN: cp %models/shakespeare/config.json %t/config.json
// RUN: cp %models/shakespeare/config.json %t/m/config.json
// RUN: not sinter-compile %t/m --emit=xfmr 2>&1 | FileCheck %s --check-prefix=NONE --implicit-check-not={{.}}
// NONE: sinter-compile: error: {{.*}}/m: has neither model.safetensors nor model.safetensors.index.json{{$}}

// RUN: cp %models/shakespeare/model.safetensors %t/m/
// RUN: sed 's/"hidden_act": "silu"/"hidden_act": "gelu"/' %t/config.json > %t/m/config.json
// RUN: not sinter-compile %t/m --emit=xfmr 2>&1 | FileCheck %s --check-prefix=ACT --implicit-check-not={{.}}
// ACT: sinter-compile: error: config.json: "hidden_act": "gelu" is not supported (silu is){{$}}

// RUN: sed 's/"intermediate_size": 768/"intermediate_size": 769/' %t/config.json > %t/m/config.json
// RUN: not sinter-compile %t/m --emit=xfmr 2>&1 | FileCheck %s --check-prefix=SHAPE --implicit-check-not={{.}}
// SHAPE: sinter-compile: error: model.safetensors: tensor "model.layers.0.mlp.gate_proj.weight": shape [768, 256], config.json needs [769, 256]{{$}}

// RUN: sed 's/"num_hidden_layers": 6/"num_hidden_layers": 7/' %t/config.json > %t/m/config.json
// RUN: not sinter-compile %t/m --emit=xfmr 2>&1 | FileCheck %s --check-prefix=LAYERS
// LAYERS: sinter-compile: error: {{(model.safetensors: tensor "model.layers.6.input_layernorm.weight" is missing|config.json: "layer_types")}}

// RUN: sed 's/"use_sliding_window": false/"use_sliding_window": true/; s/"max_window_layers": 6/"max_window_layers": 2/; s/"sliding_window": null/"sliding_window": 0/' %t/config.json > %t/m/config.json
// RUN: not sinter-compile %t/m --emit=xfmr 2>&1 | FileCheck %s --check-prefix=WINDOW --implicit-check-not={{.}}
// WINDOW: sinter-compile: error: config.json: "sliding_window": expected a positive integer, got 0{{$}}

// RUN: cp %t/config.json %t/m/config.json
// RUN: echo "{\"chat_template\": 7}" > %t/m/tokenizer_config.json
// RUN: not sinter-compile %t/m --emit=xfmr 2>&1 | FileCheck %s --check-prefix=CHAT --implicit-check-not={{.}}
// CHAT: sinter-compile: error: tokenizer_config.json: "chat_template": expected a string or a list with one named "default", got 7{{$}}
