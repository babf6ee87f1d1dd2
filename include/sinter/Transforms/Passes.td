//===- Passes.td - xfmr -> xfmr, in pipeline order ---------*- tablegen -*-===//
#ifndef SINTER_TRANSFORMS_PASSES_TD
#define SINTER_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def Xfmr_CoverOption : Option<"cover", "cover", "std::string", [{""}],
    "a, b or c instead of the function's xfmr.cover">;

def Shard : Pass<"xfmr-shard", "::mlir::ModuleOp"> {
  let summary = "Split every layer among ranks";
  let description = [{
    q, k, v, gate and up by rows of the weight, o and down by columns followed by an `all_reduce`,
    embedding by rows of the vocabulary followed by an `all_reduce`, the head by rows followed by an
    `all_gather`. The bias of a row-parallel linear is kept on rank 0. Cache handles hold heads /
    ranks. Runs before the merges and before every fusion: a residual fused before the all-reduce
    would be added once per rank. What does not divide is refused by name; nothing is padded.
  }];
  let options = [Option<"ranks", "ranks", "int64_t", "1", "number of ranks">];
}

def MergeQkv : Pass<"xfmr-merge-qkv", "::mlir::ModuleOp"> {
  let summary = "linear(x, Wq), linear(x, Wk), linear(x, Wv) -> linear(x, [Wq; Wk; Wv])";
  let description = [{
    The three linears read one x and feed, through `split_heads`, the q of an attention and the k and
    v of the write it reads. The merged weight lists the three sources in this order, each with its
    rank rule; all entry points share the symbol. Biases are merged when all three have one.
  }];
}

def MergeGateUp : Pass<"xfmr-merge-gate-up", "::mlir::ModuleOp"> {
  let summary = "swiglu(linear(x, Wg), linear(x, Wu)) -> swiglu(linear(x, [Wg; Wu]))";
}

def Specialise : Pass<"xfmr-specialise", "::mlir::ModuleOp"> {
  let summary = "One function per token range and head";
  let description = [{
    Default ranges: 1, 2, 4, 8, 16, by 16 to 128, by 32 to 512, then [513, max]; a range of one
    number makes T static. `max` is the upper bound of the entry's `xfmr.tokens`. Two heads: the
    logits, and their argmax (value and index). Sets `xfmr.tokens`, `xfmr.head` and `xfmr.cover`:
    `b` where the function has an all-reduce, `c` for ranges from `cover-c-from` tokens on (0:
    never), else `a`. The original entry is removed.
  }];
  let options = [
    Option<"tokenRanges", "token-ranges", "std::string", [{""}],
           "comma-separated: N, LO-HI or LO-max; empty: the default list">,
    Option<"heads", "heads", "std::string", [{"logits,argmax"}], "heads to build">,
    Option<"coverCFrom", "cover-c-from", "int64_t", "0",
           "ranges that start at this many tokens or more get cover c (0: none)">,
  ];
}

def FuseQkNormRopeWrite : Pass<"xfmr-fuse-qk-norm-rope-write", "::mlir::func::FuncOp"> {
  let summary = "split, norm, rope of q and k and the cache write -> qk_norm_rope_write";
}

def FuseLinearAdd : Pass<"xfmr-fuse-linear-add", "::mlir::func::FuncOp"> {
  let summary = "add(linear(x, W), r) -> linear_add(x, W, r)";
  let options = [Xfmr_CoverOption];
}

def FuseRmsNormLinear : Pass<"xfmr-fuse-rms-norm-linear", "::mlir::func::FuncOp"> {
  let summary = "linear(rms_norm(x, g), W) -> rms_norm_linear(x, g, W); with swiglu: rms_norm_swiglu";
  let options = [Xfmr_CoverOption];
}

def FuseAddRmsNorm : Pass<"xfmr-fuse-add-rms-norm", "::mlir::func::FuncOp"> {
  let summary = "rms_norm(add(a, b), g) -> add_rms_norm(a, b, g); with all_reduce: all_reduce_add_rms_norm";
  let options = [Xfmr_CoverOption];
}

def FuseLinearArgmax : Pass<"xfmr-fuse-linear-argmax", "::mlir::func::FuncOp"> {
  let summary = "argmax(linear(x, W)) -> linear_argmax(x, W), also over rms_norm_linear";
}

def ExplainFusion : Pass<"xfmr-explain-fusion", "::mlir::ModuleOp"> {
  let summary = "Print to stderr what was fused and what was not, and why";
}

def AssignWeightLayout : Pass<"xfmr-assign-weight-layout", "::mlir::ModuleOp"> {
  let summary = "Choose the resident form of every weight and cache";
  let description = [{
    `tiled16` for a matrix that ops read packed (linears, embeddings), `plain` for everything else;
    a weight read both ways is refused, a weight nobody reads is dropped. In the functions marked
    `xfmr.entry` every cache whose page is a multiple of 16 tokens becomes `k_packed`.
  }];
}

def Plan : Pass<"xfmr-plan", "::mlir::ModuleOp"> {
  let summary = "Give every activation its place in the arena";
  let description = [{
    The order of the ops is the schedule. Sets `xfmr.buffers` on every op with tensor results (one
    number per result: a byte offset, -1 without a buffer, -2 for the step's outputs) and
    `xfmr.arena_bytes` on the module. A dynamic dimension counts as the upper bound of `xfmr.tokens`.
    Results overwrite operands where the op allows it and nothing reads the operand later. Ends with
    `xfmr-check-plan`.
  }];
  let options = [Option<"reuse", "reuse", "bool", "true",
                        "let buffers share memory; false: every buffer its own">];
}

def CheckPlan : Pass<"xfmr-check-plan", "::mlir::ModuleOp"> {
  let summary = "Refuse a buffer plan that would overwrite what is still read";
  let description = [{
    Plays the schedule on an imaginary arena using only the attributes that `xfmr-plan` leaves.
  }];
}

#endif // SINTER_TRANSFORMS_PASSES_TD
