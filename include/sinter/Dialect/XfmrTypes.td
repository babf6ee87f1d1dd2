//===- XfmrTypes.td - types, attributes, enums -------------*- tablegen -*-===//
#ifndef SINTER_DIALECT_XFMRTYPES_TD
#define SINTER_DIALECT_XFMRTYPES_TD

include "sinter/Dialect/XfmrDialect.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

//===----------------------------------------------------------------------===//
// Enums
//===----------------------------------------------------------------------===//

def Xfmr_KvLayout : I32EnumAttr<"KvLayout", "order of elements inside a cache page", [
    I32EnumAttrCase<"TokenMajor", 0, "token_major">,
    I32EnumAttrCase<"KPacked", 1, "k_packed">]> {
  let cppNamespace = "::sinter::xfmr";
}

def Xfmr_WeightLayout : I32EnumAttr<"WeightLayout", "resident form of a weight", [
    I32EnumAttrCase<"Plain", 0, "plain">,
    I32EnumAttrCase<"Tiled16", 1, "tiled16">,
    I32EnumAttrCase<"RowMajor", 2, "row_major">]> {
  let cppNamespace = "::sinter::xfmr";
}

def Xfmr_ShardRule : I32EnumAttr<"ShardRule", "what part of a source a rank keeps", [
    I32EnumAttrCase<"Replicated", 0, "replicated">,
    I32EnumAttrCase<"Rows", 1, "rows">,
    I32EnumAttrCase<"Columns", 2, "columns">,
    I32EnumAttrCase<"Rank0", 3, "rank0">]> {
  let cppNamespace = "::sinter::xfmr";
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

class Xfmr_Attr<string name, string mnem> : AttrDef<Xfmr_Dialect, name> {
  let mnemonic = mnem;
}

def Xfmr_SourceAttr : Xfmr_Attr<"Source", "source"> {
  let summary = "a slice of a checkpoint tensor";
  let description = [{
    Rows `[begin, end)` of the named checkpoint tensor (elements, for a vector). With `shard` other
    than `replicated` every one of `ranks` ranks keeps its equal part of those rows or of the
    columns; `rank0` keeps all on rank 0 and zeros elsewhere (a bias before an all-reduce).

    `#xfmr.source<"model.norm.weight", 0, 1024>`,
    `#xfmr.source<"model.layers.0.mlp.up_proj.weight", 0, 3072, rows, 2>`
  }];
  let parameters = (ins "::mlir::StringAttr":$tensor, "int64_t":$begin, "int64_t":$end,
      DefaultValuedParameter<"ShardRule", "ShardRule::Replicated">:$shard,
      DefaultValuedParameter<"int64_t", "1">:$ranks);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Xfmr_KScaleAttr : Xfmr_Attr<"KScale", "k_scale"> {
  let summary = "the power of two that bounds K after its norm";
  let description = [{
    The smallest power of two >= max|w| * sqrt(head_dim) over the k_norm vector `tensor`, at least
    1, divided by `room`; computed when weights are loaded. K is divided by it before it is stored,
    and the softmax scale is multiplied by it: f16 caches cannot overflow and fp8 caches cannot
    saturate. `room`, a power of two, is how large the stored numbers may get: 1 for wide types, 256
    for f8E4M3FN and 32768 for f8E5M2, whose exponents would otherwise be left unused above 1 and
    be missing below (YaRN's attention factor, at most 1.75, fits above).

    `#xfmr.k_scale<"model.layers.0.self_attn.k_norm.weight", 128>`,
    `#xfmr.k_scale<"model.layers.0.self_attn.k_norm.weight", 128, 256>`
  }];
  let parameters = (ins "::mlir::StringAttr":$tensor, "int64_t":$headDim,
      DefaultValuedParameter<"int64_t", "1">:$room);
  let assemblyFormat = "`<` $tensor `,` $headDim (`,` $room^)? `>`";
  let genVerifyDecl = 1;
}

def Xfmr_RopeTableAttr : Xfmr_Attr<"RopeTable", "rope_table"> {
  let summary = "rotary embedding angles";
  let description = [{
    Row p of the table is cos(a_i) for i < D/2, then sin(a_i), each multiplied by `scaling`;
    a_i = p * inv_freq[i], the product rounded to f32.
  }];
  let parameters = (ins "::mlir::DenseF32ArrayAttr":$invFreq, "::llvm::APFloat":$scaling);
  let hasCustomAssemblyFormat = 1;
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

def Xfmr_KvType : TypeDef<Xfmr_Dialect, "Kv"> {
  let mnemonic = "kv";
  let summary = "handle of one layer's paged key/value cache";
  let description = [{
    An opaque handle, not a tensor: `xfmr.kv_write` consumes one and returns the next, so the order
    of writes and reads is part of the graph.

    `!xfmr.kv<8, 16, 128, bf16, token_major>`: 8 kv heads, pages of 16 tokens, head size 128.
    Element types: bf16, f16, f32, f8E4M3FN, f8E5M2. What is written is rounded to nearest, ties to
    even; fp8 saturates at its largest number (448, 57344). K is divided by the layer's k_scale
    before, V is stored as it is: its values are small in every trained Qwen3, and without data
    there is no bound on them to make a scale of.
    `k_packed` stores K as `[D/x, page, x]` (x = 2 for bf16, else 1) and V as `[page, D]`.
  }];
  let parameters = (ins "int64_t":$heads, "int64_t":$page, "int64_t":$headDim,
      "::mlir::Type":$elementType, "KvLayout":$layout);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Xfmr_BatchType : TypeDef<Xfmr_Dialect, "Batch"> {
  let mnemonic = "batch";
  let summary = "what a step knows about its sequences";
  let description = [{
    positions[T], slots[T] (page * page_size + offset, -1 writes nothing), cu_q[S+1], ctx[S],
    block_table[S, P] (all i32), max_q, max_ctx.
  }];
}

#endif // SINTER_DIALECT_XFMRTYPES_TD
