//===- XfmrDialect.td - the transformer dialect ------------*- tablegen -*-===//
#ifndef SINTER_DIALECT_XFMRDIALECT_TD
#define SINTER_DIALECT_XFMRDIALECT_TD

include "mlir/IR/OpBase.td"

def Xfmr_Dialect : Dialect {
  let name = "xfmr";
  let cppNamespace = "::sinter::xfmr";
  let summary = "Whole transformer operations on ranked tensors";
  let description = [{
    `xfmr` holds a decoder-only transformer as a graph of whole operations. Notation used by every
    op below:

    | symbol | meaning |
    |---|---|
    | T | tokens in the step: static, or `?` with `xfmr.tokens = [lo, hi]` on the function |
    | R | rows whose logits are asked for |
    | K, N | columns in, columns out of a linear |
    | H, D | heads, head size |
    | V | vocabulary |

    Activations are `bf16`, `f16` or `f32`. Every reduction, norm, softmax and accumulation is done
    in f32; **an op rounds once, when it stores a result** unless its description says otherwise.
    Weights enter through `xfmr.get_weight` and keep the element type of the checkpoint.

    Function attributes: `xfmr.entry` marks a step; `xfmr.tokens = [lo, hi]` bounds T (inclusive);
    `xfmr.head` is `"logits"` or `"argmax"`; `xfmr.cover` is `"a"`, `"b"` or `"c"` and says how
    linear -> add -> norm -> linear is covered by kernels.
  }];
  let dependentDialects = ["::mlir::func::FuncDialect"];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let extraClassDeclaration = [{
    void registerTypes();
    void registerAttrs();
  }];
}

#endif // SINTER_DIALECT_XFMRDIALECT_TD
