//===- XfmrInterfaces.td - what a fusion may ask of an op --*- tablegen -*-===//
#ifndef SINTER_DIALECT_XFMRINTERFACES_TD
#define SINTER_DIALECT_XFMRINTERFACES_TD

include "mlir/IR/OpBase.td"

def Xfmr_RowScaleOpInterface : OpInterface<"RowScaleOpInterface"> {
  let cppNamespace = "::sinter::xfmr";
  let description = [{
    An op that is linear in each row of one operand, so that a per-row scale commutes with it:
    f(s * x) = s * f(x). A preceding `rms_norm` can then be taken in: its weight is multiplied into
    the row on the way, its 1/rms is applied to the accumulator, before any bias.
  }];
  let methods = [
    InterfaceMethod<"The operand whose rows may be scaled.", "::mlir::OpOperand &",
                    "getScaledInput">,
    InterfaceMethod<[{Builds, at the rewriter's insertion point, this op on rms_norm(x, gamma).
                      Null when it cannot; then nothing was built.}],
                    "::mlir::Operation *", "buildWithNorm",
                    (ins "::mlir::OpBuilder &":$builder, "::mlir::Value":$x,
                         "::mlir::Value":$gamma, "::mlir::FloatAttr":$eps)>,
  ];
}

def Xfmr_ResidualOpInterface : OpInterface<"ResidualOpInterface"> {
  let cppNamespace = "::sinter::xfmr";
  let description = [{
    An op that can add a residual to its accumulator before it rounds and stores.
  }];
  let methods = [
    InterfaceMethod<[{True when every rank would add the residual to a partial sum: the op must
                      then stay before its all_reduce without it.}],
                    "bool", "isRowParallel">,
    InterfaceMethod<"Builds this op with `residual` added. Null when it cannot.",
                    "::mlir::Operation *", "buildWithResidual",
                    (ins "::mlir::OpBuilder &":$builder, "::mlir::Value":$residual)>,
  ];
}

def Xfmr_AliasOpInterface : OpInterface<"AliasOpInterface"> {
  let cppNamespace = "::sinter::xfmr";
  let description = [{
    An op whose result may overwrite an operand of the same type and shape (element i of the result
    depends on no element of that operand but i), if this is the operand's last use.
  }];
  let methods = [
    InterfaceMethod<"Operand number that result `result` may overwrite, or -1.", "int64_t",
                    "getAliasableOperand", (ins "unsigned":$result)>,
  ];
}

def Xfmr_ViewOpInterface : OpInterface<"ViewOpInterface"> {
  let cppNamespace = "::sinter::xfmr";
  let description = [{
    An op that may be a mere view of its only tensor operand: same bytes, another shape. A view is
    no kernel and takes no buffer.
  }];
  let methods = [InterfaceMethod<"", "bool", "isView">];
}

def Xfmr_MatrixReaderOpInterface : OpInterface<"MatrixReaderOpInterface"> {
  let cppNamespace = "::sinter::xfmr";
  let description = [{
    An op that reads a matrix from its packed resident form (`tiled16`). Whatever else reads a weight
    needs it `plain`.
  }];
  let methods = [
    InterfaceMethod<"The operand that is read packed.", "::mlir::OpOperand &", "getMatrixOperand",
                    (ins), "", "return $_op.getWMutable();">,
  ];
}

def Xfmr_CacheOpInterface : OpInterface<"CacheOpInterface"> {
  let cppNamespace = "::sinter::xfmr";
  let description = [{An op that reads or writes a cache handle.}];
  let methods = [
    InterfaceMethod<"The handle read or consumed.", "::mlir::OpOperand &", "getKvOperand">,
    InterfaceMethod<"True when the handle is consumed.", "bool", "writesCache">,
  ];
}

#endif // SINTER_DIALECT_XFMRINTERFACES_TD
