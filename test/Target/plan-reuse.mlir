// Sharing memory between activations changes no bit of any logit.
// REQUIRES: sinter-compile, sinter-run
// RUN: sinter-compile %models/shakespeare --dtype f32 -o %t.reuse.sinter
// RUN: sinter-compile %models/shakespeare --dtype f32 --no-reuse -o %t.alone.sinter
// RUN: not cmp -s %t.reuse.sinter %t.alone.sinter
// RUN: sinter-run %t.reuse.sinter --token-ids 1,2,3,4,5,6,7,8,9 --max-tokens 1 --logits %t.reuse.npy
// RUN: sinter-run %t.alone.sinter --token-ids 1,2,3,4,5,6,7,8,9 --max-tokens 1 --logits %t.alone.npy
// RUN: cmp %t.reuse.npy %t.alone.npy
