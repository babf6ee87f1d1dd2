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
  let summary = "Make one linear of q, k and v";
  let description = [{
    `linear(x, Wq), linear(x, Wk), linear(x, Wv) -> linear(x, [Wq; Wk; Wv])`

    The three linears read one x and feed, through `split_heads`, the q of an attention and the k and
    v of the write it reads. The merged weight lists the three sources in this order, each with its
    rank rule; all entry points share the symbol. Biases are merged when all three have one.
  }];
}

def MergeGateUp : Pass<"xfmr-merge-gate-up", "::mlir::ModuleOp"> {
  let summary = "Make one linear of gate and up";
  let description = [{
    `swiglu(linear(x, Wg), linear(x, Wu)) -> swiglu(linear(x, [Wg; Wu]))`

    Under the conditions of xfmr-merge-qkv: one input, each read once, all biases or none, weights
    from the checkpoint that nobody else reads.
  }];
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
           "comma-separated: N, LO-HI or LO-max, each with @Q (most tokens of a sequence) or #ROWS "
           "(most rows of the head); empty: the default list">,
    Option<"heads", "heads", "std::string", [{"logits,argmax"}], "heads to build">,
    Option<"coverCFrom", "cover-c-from", "int64_t", "0",
           "ranges that start at this many tokens or more get cover c (0: none)">,
  ];
}

def FuseQkNormRopeWrite : Pass<"xfmr-fuse-qk-norm-rope-write", "::mlir::func::FuncOp"> {
  let summary = "Make one kernel of head norms, rotation and cache write";
  let description = [{
    `kv_write(rope(norm(split(qkv))), split(qkv)), rope(norm(split(qkv))) -> qk_norm_rope_write(qkv)`

    q, k and v must lie side by side in one tensor (xfmr-merge-qkv), both of q and k have a norm of
    one eps or neither has, and nothing else may read what lies between. The K scale stays with the
    write.
  }];
}

def FuseLinearAdd : Pass<"xfmr-fuse-linear-add", "::mlir::func::FuncOp"> {
  let summary = "Take a residual into the linear before it";
  let description = [{
    `add(linear(x, W), r) -> linear_add(x, W, r)`, in covers a and c; in cover b only where no norm
    follows the add. Either operand may be the linear; it needs to have no other user and not be
    row-parallel. Built where the add stands, so that r may be computed after the linear.
  }];
  let options = [Xfmr_CoverOption];
}

def FuseRmsNormLinear : Pass<"xfmr-fuse-rms-norm-linear", "::mlir::func::FuncOp"> {
  let summary = "Take a norm, and the SwiGLU behind it, into a linear";
  let description = [{
    `linear(rms_norm(x, g), W) -> rms_norm_linear(x, g, W)`,
    `swiglu(rms_norm_linear(x, g, W)) -> rms_norm_swiglu(x, g, W)`,
    `linear_argmax(rms_norm(x, g), W) -> linear_argmax(x, W, g)`

    The norm must have no other user, its weight the element type of W. In cover b a norm behind an
    add stays for xfmr-fuse-add-rms-norm; in cover c it stays on its own.
  }];
  let options = [Xfmr_CoverOption];
}

def FuseAddRmsNorm : Pass<"xfmr-fuse-add-rms-norm", "::mlir::func::FuncOp"> {
  let summary = "Make one kernel of a residual add and the norm after it";
  let description = [{
    `rms_norm(add(a, b), g) -> add_rms_norm(a, b, g)`,
    `rms_norm(add(all_reduce(x), r), g) -> all_reduce_add_rms_norm(x, r, g)`

    Where the add did not go into the linear before it nor, in cover a, the norm into the linear
    after it. The sum may have other users. An all_reduce is taken in when nothing else reads it and
    no other collective lies between.
  }];
  let options = [Xfmr_CoverOption];
}

def FuseLinearArgmax : Pass<"xfmr-fuse-linear-argmax", "::mlir::func::FuncOp"> {
  let summary = "Take the argmax of logits that nobody stores";
  let description = [{
    `argmax(linear(x, W)) -> linear_argmax(x, W)`,
    `argmax(rms_norm_linear(x, g, W)) -> linear_argmax(x, W, g)`

    The logits must be f32 (rounded ones have ties that the f32 ones do not) and have no other user.
  }];
}

def ExplainFusion : Pass<"xfmr-explain-fusion", "::mlir::ModuleOp"> {
  let summary = "Print to stderr what was fused and what was not, and why";
  let description = [{
    Per entry point: kernels and activation bytes per layer, imported graph -> now, then one line for
    each merge and fusion and for each reason why one did not happen. Reads what the passes recorded
    in `xfmr.fusion` and `xfmr.baseline`. Fused + missed = candidates, which are counted once before
    the first fusion. Activation bytes: reads and writes of every kernel but weights and cached
    context; K and V written by this step count.
  }];
}

def AssignWeightLayout : Pass<"xfmr-assign-weight-layout", "::mlir::ModuleOp"> {
  let summary = "Choose the resident form of every weight and cache";
  let description = [{
    `tiled16` (cpu) or `row_major` (cuda) for a matrix that ops read packed (linears, embeddings),
    `plain` for everything else; a weight read both ways is refused, a weight nobody reads is
    dropped. For the cpu, in the functions marked `xfmr.entry` every cache whose page is a multiple
    of 16 tokens becomes `k_packed`.
  }];
  let options = [Option<"target", "target", "std::string", "\"cpu\"", "cpu or cuda">];
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
