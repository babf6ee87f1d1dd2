//===- XfmrOps.td - the ops a model is imported as ---------*- tablegen -*-===//
#ifndef SINTER_DIALECT_XFMROPS_TD
#define SINTER_DIALECT_XFMROPS_TD

include "sinter/Dialect/XfmrTypes.td"
include "sinter/Dialect/XfmrInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

//===----------------------------------------------------------------------===//
// Constraints
//===----------------------------------------------------------------------===//

def Xfmr_Element : AnyTypeOf<[BF16, F16, F32]>;
def Xfmr_Matrix : TensorRankOf<[Xfmr_Element], [2]>;
def Xfmr_Heads : TensorRankOf<[Xfmr_Element], [3]>;
def Xfmr_Activation : TensorRankOf<[Xfmr_Element], [2, 3]>;
def Xfmr_Weight2D : StaticShapeTensorOf<[Xfmr_Element]>;
def Xfmr_Vector : TensorRankOf<[Xfmr_Element], [1]>;
def Xfmr_F32Vector : TensorRankOf<[F32], [1]>;
def Xfmr_F32Matrix : TensorRankOf<[F32], [2]>;
def Xfmr_Index1D : TensorRankOf<[I32], [1]>;

def Xfmr_KvCache : Resource<"::sinter::xfmr::KvCacheResource">;
def Xfmr_Comm : Resource<"::sinter::xfmr::CommResource">;

class Xfmr_Op<string mnemonic, list<Trait> traits = []> : Op<Xfmr_Dialect, mnemonic, traits>;

class Xfmr_PureOp<string mnemonic, list<Trait> traits = []>
    : Xfmr_Op<mnemonic, !listconcat([Pure], traits)>;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

def Xfmr_WeightOp : Xfmr_Op<"weight", [Symbol]> {
  let summary = "a weight and where its values come from";
  let description = [{
    `init` is a list of `#xfmr.source` slices stacked along rows, a `#xfmr.k_scale` or a
    `#xfmr.rope_table`. `layout` is the resident form, set by assign-weight-layout. All entry points
    share the symbol. The type is the shape one rank holds.

    ```mlir
    xfmr.weight @layers.0.mlp.down : tensor<1024x3072xbf16>
        from [#xfmr.source<"model.layers.0.mlp.down_proj.weight", 0, 1024>]
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<AnyRankedTensor>:$type,
                   AnyAttr:$init, OptionalAttr<Xfmr_WeightLayout>:$layout,
                   OptionalAttr<StrAttr>:$sym_visibility);
  let assemblyFormat = "$sym_name `:` $type `from` $init (`layout` $layout^)? attr-dict";
  let hasVerifier = 1;
}

def Xfmr_GetWeightOp : Xfmr_PureOp<"get_weight", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "result = the named weight";
  let description = [{The type must be that of the `xfmr.weight` symbol.}];
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

//===----------------------------------------------------------------------===//
// Dense ops
//===----------------------------------------------------------------------===//

def Xfmr_EmbeddingOp : Xfmr_PureOp<"embedding", [
    DeclareOpInterfaceMethods<Xfmr_MatrixReaderOpInterface, ["getMatrixOperand"]>]> {
  let summary = "y[t] = table[tokens[t]]";
  let description = [{
    tokens i32 [T], table [V, K] -> [T, K]. Rounds to the result type. With `vocab_parallel` = n > 1
    the table holds this rank's V rows of a vocabulary n times as large; tokens of other ranks give
    zero rows and an all_reduce follows. A token outside the vocabulary is the caller's error.
  }];
  let arguments = (ins Xfmr_Index1D:$tokens, Xfmr_Matrix:$table,
                   DefaultValuedAttr<I64Attr, "1">:$vocab_parallel);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = "$tokens `,` $table attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Xfmr_RmsNormOp : Xfmr_PureOp<"rms_norm", [DeclareOpInterfaceMethods<Xfmr_AliasOpInterface>]> {
  let summary = "y = x / sqrt(mean(x^2) + eps) * gamma, over the last dimension";
  let description = [{
    x [T, K] or [T, H, D], gamma [K] or [D] -> as x. Sum of squares and scaling in f32; rounds once
    (Hugging Face rounds also between scaling and gamma). May overwrite x.
  }];
  let arguments = (ins Xfmr_Activation:$x, Xfmr_Vector:$gamma, F32Attr:$eps);
  let results = (outs Xfmr_Activation:$result);
  let assemblyFormat = "$x `,` $gamma attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Xfmr_LinearOp : Xfmr_PureOp<"linear", [
    DeclareOpInterfaceMethods<Xfmr_MatrixReaderOpInterface>,
    DeclareOpInterfaceMethods<Xfmr_RowScaleOpInterface>,
    DeclareOpInterfaceMethods<Xfmr_ResidualOpInterface>]> {
  let summary = "y = x W^T + bias";
  let description = [{
    x [T, K], w [N, K], bias [N] -> [T, N]. f32 accumulation, rounds once. The result may be f32
    whatever x is (logits). `row_parallel` says that K is this rank's part of a larger K: y is a
    partial sum, an all_reduce follows.
  }];
  let arguments = (ins Xfmr_Matrix:$x, Xfmr_Matrix:$w, Optional<Xfmr_Vector>:$bias,
                   UnitAttr:$row_parallel);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = [{
    $x `,` $w (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Xfmr_AddOp : Xfmr_PureOp<"add", [Commutative, SameOperandsAndResultType,
    DeclareOpInterfaceMethods<Xfmr_AliasOpInterface>]> {
  let summary = "y = a + b";
  let description = [{
    Same shape and type, no broadcasting. f32 sum, rounds once. May overwrite a (or, where that has
    a later use, b: the planner looks at operand 0 only).
  }];
  let arguments = (ins Xfmr_Activation:$a, Xfmr_Activation:$b);
  let results = (outs Xfmr_Activation:$result);
  let assemblyFormat = "$a `,` $b attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Xfmr_SwigluOp : Xfmr_PureOp<"swiglu"> {
  let summary = "y = silu(gate) * up";
  let description = [{
    silu(g) = g / (1 + exp(-g)). Two operands [T, N] -> [T, N], or one [T, 2N] that holds gate in
    columns [0, N) and up in [N, 2N). f32 inside, rounds once.
  }];
  let arguments = (ins Xfmr_Matrix:$gate, Optional<Xfmr_Matrix>:$up);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = "$gate (`,` $up^)? attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Xfmr_SplitHeadsOp : Xfmr_PureOp<"split_heads",
    [DeclareOpInterfaceMethods<Xfmr_ViewOpInterface>]> {
  let summary = "y[t, h, d] = x[t, offset + h * D + d]";
  let description = [{
    x [T, N] -> [T, H, D], columns [offset, offset + H * D). A view when that is all of x, else a
    copy. Exact.
  }];
  let arguments = (ins Xfmr_Matrix:$x, DefaultValuedAttr<I64Attr, "0">:$offset);
  let results = (outs Xfmr_Heads:$result);
  let assemblyFormat = "$x attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Xfmr_MergeHeadsOp : Xfmr_PureOp<"merge_heads",
    [DeclareOpInterfaceMethods<Xfmr_ViewOpInterface>]> {
  let summary = "y[t, h * D + d] = x[t, h, d]";
  let description = [{[T, H, D] -> [T, H * D]. Always a view.}];
  let arguments = (ins Xfmr_Heads:$x);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = "$x attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Xfmr_RopeOp : Xfmr_PureOp<"rope", [DeclareOpInterfaceMethods<Xfmr_AliasOpInterface>]> {
  let summary = "rotary position embedding, halves form";
  let description = [{
    With c, s = row positions[t] of table (cos, then sin; f32 [P, D]), for i < D/2:
    y[i] = x[i] * c[i] - x[i + D/2] * s[i]; y[i + D/2] = x[i + D/2] * c[i] + x[i] * s[i].
    x [T, H, D] -> same. f32 inside, rounds once. (The interleaved form pairs 2i and 2i + 1: Qwen
    does not use it.)
  }];
  let arguments = (ins Xfmr_Heads:$x, Xfmr_F32Matrix:$table, Xfmr_BatchType:$batch);
  let results = (outs Xfmr_Heads:$result);
  let assemblyFormat = "$x `,` $table `,` $batch attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Xfmr_SelectRowsOp : Xfmr_PureOp<"select_rows"> {
  let summary = "y[r] = x[rows[r]]";
  let description = [{x [T, K], rows i32 [R] -> [R, K]. Exact.}];
  let arguments = (ins Xfmr_Matrix:$x, Xfmr_Index1D:$rows);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = "$x `,` $rows attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Xfmr_ArgmaxOp : Xfmr_PureOp<"argmax"> {
  let summary = "value[r], index[r] = the largest of x[r] and where";
  let description = [{
    x [R, V] -> f32 [R], i32 [R]. Of equal values the lowest index. A row with a NaN gives NaN and
    the index of its first NaN.
  }];
  let arguments = (ins Xfmr_Matrix:$x);
  let results = (outs Xfmr_F32Vector:$value, Xfmr_Index1D:$index);
  let assemblyFormat = "$x attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Cache
//===----------------------------------------------------------------------===//

def Xfmr_KvWriteOp : Xfmr_Op<"kv_write", [
    DeclareOpInterfaceMethods<Xfmr_CacheOpInterface>,
    MemoryEffects<[MemRead<Xfmr_KvCache>, MemWrite<Xfmr_KvCache>]>]> {
  let summary = "cache[slots[t]] = k[t] / k_scale, v[t]";
  let description = [{
    k, v [T, H, D]; consumes the handle and returns the next. Slot -1 writes nothing. k_scale is
    f32 [1], a power of two (absent: 1). Rounds to the cache's element type.
  }];
  let arguments = (ins Xfmr_KvType:$kv, Xfmr_Heads:$k, Xfmr_Heads:$v, Xfmr_BatchType:$batch,
                   Optional<Xfmr_F32Vector>:$k_scale);
  let results = (outs Xfmr_KvType:$result);
  let assemblyFormat = [{
    $kv `,` $k `,` $v `,` $batch (`k_scale` $k_scale^)? attr-dict `:`
    functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Xfmr_AttentionOp : Xfmr_Op<"attention", [
    DeclareOpInterfaceMethods<Xfmr_CacheOpInterface>, MemoryEffects<[MemRead<Xfmr_KvCache>]>]> {
  let summary = "softmax(scale * k_scale * q K^T, causal, window) V over the paged cache";
  let description = [{
    q [T, Hq, D] -> [T, Hq, D]; query head h reads kv head h / (Hq / H). Token t of sequence s sees
    positions 0 .. positions[t] of that sequence, with `window` (in tokens, at least 1) the last
    `window` of them: p with positions[t] - window < p <= positions[t]. They are found through
    block_table[s], whose entries of pages before the window may be -1. Online softmax in f32, f32
    accumulation of the output, rounds once; kernels may round probabilities to the type of q on
    the way to V. Reads the handle after the write of this step's
    tokens. Ops of one function may have different windows.
  }];
  let arguments = (ins Xfmr_Heads:$q, Xfmr_KvType:$kv, Xfmr_BatchType:$batch,
                   Optional<Xfmr_F32Vector>:$k_scale, F32Attr:$scale,
                   OptionalAttr<I32Attr>:$window);
  let results = (outs Xfmr_Heads:$result);
  let extraClassDeclaration = [{
    /// In tokens; 0: every position.
    int64_t windowOrZero() { return static_cast<int32_t>(getWindow().value_or(0)); }
  }];
  let assemblyFormat = [{
    $q `,` $kv `,` $batch (`k_scale` $k_scale^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

def Xfmr_AllReduceOp : Xfmr_Op<"all_reduce", [SameOperandsAndResultType,
    MemoryEffects<[MemWrite<Xfmr_Comm>]>]> {
  let summary = "y = sum over ranks of x";
  let description = [{f32 sum in rank order, rounds once. Collectives keep their order.}];
  let arguments = (ins Xfmr_Activation:$x, I64Attr:$ranks);
  let results = (outs Xfmr_Activation:$result);
  let assemblyFormat = "$x attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Xfmr_AllGatherOp : Xfmr_Op<"all_gather", [MemoryEffects<[MemWrite<Xfmr_Comm>]>]> {
  let summary = "y = the ranks' x side by side, along the last dimension";
  let description = [{x [R, N / ranks] -> [R, N]. Exact.}];
  let arguments = (ins Xfmr_Matrix:$x, I64Attr:$ranks);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = "$x attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

#endif // SINTER_DIALECT_XFMROPS_TD
