//===- XfmrFusedOps.td - what fusions build ----------------*- tablegen -*-===//
#ifndef SINTER_DIALECT_XFMRFUSEDOPS_TD
#define SINTER_DIALECT_XFMRFUSEDOPS_TD

include "sinter/Dialect/XfmrOps.td"

def Xfmr_RmsNormLinearOp : Xfmr_PureOp<"rms_norm_linear", [
    DeclareOpInterfaceMethods<Xfmr_MatrixReaderOpInterface>]> {
  let summary = "y = rstd(x) * ((x * gamma) W^T) + bias, rstd = 1 / sqrt(mean(x^2) + eps)";
  let description = [{
    x [T, K], gamma [K], w [N, K], bias [N] -> [T, N]. x * gamma is not rounded, the accumulator is
    f32, the row scale multiplies it before the bias, rounds once. Differs from `linear(rms_norm)`
    by the missing rounding of the normalised row.
  }];
  let arguments = (ins Xfmr_Matrix:$x, Xfmr_Vector:$gamma, Xfmr_Matrix:$w,
                   Optional<Xfmr_Vector>:$bias, F32Attr:$eps);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = [{
    $x `,` $gamma `,` $w (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Xfmr_RmsNormSwigluOp : Xfmr_PureOp<"rms_norm_swiglu", [
    DeclareOpInterfaceMethods<Xfmr_MatrixReaderOpInterface>]> {
  let summary = "y = silu(g) * u, [g u] = rstd(x) * ((x * gamma) W^T) + bias";
  let description = [{
    x [T, K], gamma [K], w [2N, K] (gate rows, then up rows), bias [2N] -> [T, N]. g and u stay f32,
    rounds once.
  }];
  let arguments = (ins Xfmr_Matrix:$x, Xfmr_Vector:$gamma, Xfmr_Matrix:$w,
                   Optional<Xfmr_Vector>:$bias, F32Attr:$eps);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = [{
    $x `,` $gamma `,` $w (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Xfmr_LinearAddOp : Xfmr_PureOp<"linear_add", [
    DeclareOpInterfaceMethods<Xfmr_MatrixReaderOpInterface>,
    DeclareOpInterfaceMethods<Xfmr_AliasOpInterface>]> {
  let summary = "y = x W^T + bias + residual";
  let description = [{
    x [T, K], w [N, K], bias [N], residual [T, N] -> [T, N]. Added to the f32 accumulator, rounds
    once (`add(linear)` rounds twice). May overwrite residual.
  }];
  let arguments = (ins Xfmr_Matrix:$x, Xfmr_Matrix:$w, Xfmr_Matrix:$residual,
                   Optional<Xfmr_Vector>:$bias);
  let results = (outs Xfmr_Matrix:$result);
  let assemblyFormat = [{
    $x `,` $w `,` $residual (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Xfmr_AddRmsNormOp : Xfmr_PureOp<"add_rms_norm", [
    DeclareOpInterfaceMethods<Xfmr_AliasOpInterface>]> {
  let summary = "sum = a + b; y = rms_norm(sum, gamma)";
  let description = [{
    a, b [T, K], gamma [K] -> sum [T, K], y [T, K]. The norm reads the sum after it was rounded, so
    both results equal those of `add` and `rms_norm`. sum may overwrite a.
  }];
  let arguments = (ins Xfmr_Matrix:$a, Xfmr_Matrix:$b, Xfmr_Vector:$gamma, F32Attr:$eps);
  let results = (outs Xfmr_Matrix:$sum, Xfmr_Matrix:$result);
  let assemblyFormat = [{
    $a `,` $b `,` $gamma attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Xfmr_AllReduceAddRmsNormOp : Xfmr_Op<"all_reduce_add_rms_norm", [
    MemoryEffects<[MemWrite<Xfmr_Comm>]>]> {
  let summary = "sum = all_reduce(x) + residual; y = rms_norm(sum, gamma)";
  let description = [{
    x, residual [T, K], gamma [K] -> sum, y [T, K]. The all-reduced value is not rounded before the
    residual is added; the norm reads the rounded sum.
  }];
  let arguments = (ins Xfmr_Matrix:$x, Xfmr_Matrix:$residual, Xfmr_Vector:$gamma, F32Attr:$eps,
                   I64Attr:$ranks);
  let results = (outs Xfmr_Matrix:$sum, Xfmr_Matrix:$result);
  let assemblyFormat = [{
    $x `,` $residual `,` $gamma attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Xfmr_QkNormRopeWriteOp : Xfmr_Op<"qk_norm_rope_write", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<Xfmr_CacheOpInterface>,
    MemoryEffects<[MemRead<Xfmr_KvCache>, MemWrite<Xfmr_KvCache>]>]> {
  let summary = "q = rope(norm(q part)); cache[slots] = rope(norm(k part)) / k_scale, v part";
  let description = [{
    qkv [T, (Hq + 2H) * D] holds q, k and v side by side; H, D and the cache's element type come
    from the handle, Hq from the result q [T, Hq, D]. q_gamma and k_gamma [D] are both there or both
    absent (then no norm). f32 from the rounded qkv to the one rounding of each result: K is not
    rounded between norm, rotation and scale. Consumes the handle.
  }];
  let arguments = (ins Xfmr_Matrix:$qkv, Xfmr_KvType:$kv, Xfmr_F32Matrix:$table,
                   Xfmr_BatchType:$batch, Optional<Xfmr_Vector>:$q_gamma,
                   Optional<Xfmr_Vector>:$k_gamma, Optional<Xfmr_F32Vector>:$k_scale,
                   DefaultValuedAttr<F32Attr, "0.0f">:$eps);
  let results = (outs Xfmr_Heads:$q, Xfmr_KvType:$result);
  let assemblyFormat = [{
    $qkv `,` $kv `,` $table `,` $batch (`norm` $q_gamma^ `,` $k_gamma)? (`k_scale` $k_scale^)?
    attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Xfmr_LinearArgmaxOp : Xfmr_PureOp<"linear_argmax", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<Xfmr_MatrixReaderOpInterface>,
    DeclareOpInterfaceMethods<Xfmr_RowScaleOpInterface>]> {
  let summary = "value, index = argmax(linear(x, w) + bias), or of rms_norm_linear with gamma";
  let description = [{
    x [R, K], w [V, K], bias [V], gamma [K] -> f32 [R], i32 [R]. The logits stay f32 and are never
    stored. Ties and NaN as in `argmax`.
  }];
  let arguments = (ins Xfmr_Matrix:$x, Xfmr_Matrix:$w, Optional<Xfmr_Vector>:$bias,
                   Optional<Xfmr_Vector>:$gamma, DefaultValuedAttr<F32Attr, "0.0f">:$eps);
  let results = (outs Xfmr_F32Vector:$value, Xfmr_Index1D:$index);
  let assemblyFormat = [{
    $x `,` $w (`bias` $bias^)? (`norm` $gamma^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

#endif // SINTER_DIALECT_XFMRFUSEDOPS_TD
