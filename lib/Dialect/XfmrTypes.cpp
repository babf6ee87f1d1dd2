//===- XfmrTypes.cpp - types, attributes, enums ---------------------------===//
#include "sinter/Dialect/Xfmr.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace sinter::xfmr;

#include "sinter/Dialect/XfmrEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "sinter/Dialect/XfmrAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "sinter/Dialect/XfmrTypes.cpp.inc"

void XfmrDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "sinter/Dialect/XfmrTypes.cpp.inc"
      >();
}

void XfmrDialect::registerAttrs() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "sinter/Dialect/XfmrAttrs.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// SourceAttr: <"tensor", begin, end> or <"tensor", begin, end, rule, ranks>
//===----------------------------------------------------------------------===//

Attribute SourceAttr::parse(AsmParser &parser, Type) {
  std::string tensor;
  int64_t begin = 0, end = 0, ranks = 1;
  ShardRule shard = ShardRule::Replicated;
  if (parser.parseLess() || parser.parseString(&tensor) || parser.parseComma() ||
      parser.parseInteger(begin) || parser.parseComma() || parser.parseInteger(end))
    return {};
  if (succeeded(parser.parseOptionalComma())) {
    StringRef keyword;
    SMLoc loc = parser.getCurrentLocation();
    if (parser.parseKeyword(&keyword))
      return {};
    std::optional<ShardRule> rule = symbolizeShardRule(keyword);
    if (!rule) {
      parser.emitError(loc, "expected replicated, rows, columns or rank0");
      return {};
    }
    shard = *rule;
    if (parser.parseComma() || parser.parseInteger(ranks))
      return {};
  }
  if (parser.parseGreater())
    return {};
  MLIRContext *ctx = parser.getContext();
  return SourceAttr::getChecked([&] { return parser.emitError(parser.getNameLoc()); }, ctx,
                                StringAttr::get(ctx, tensor), begin, end, shard, ranks);
}

void SourceAttr::print(AsmPrinter &printer) const {
  printer << "<" << getTensor() << ", " << getBegin() << ", " << getEnd();
  if (getShard() != ShardRule::Replicated)
    printer << ", " << stringifyShardRule(getShard()) << ", " << getRanks();
  printer << ">";
}

LogicalResult SourceAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringAttr tensor,
                                 int64_t begin, int64_t end, ShardRule shard, int64_t ranks) {
  if (begin < 0 || end <= begin)
    return emitError() << "source " << tensor << ": rows [" << begin << ", " << end
                       << ") are empty or negative";
  if (ranks < 1 || (shard == ShardRule::Replicated && ranks != 1))
    return emitError() << "source " << tensor << ": " << ranks << " ranks with rule "
                       << stringifyShardRule(shard);
  if (shard == ShardRule::Rows && (end - begin) % ranks != 0)
    return emitError() << "source " << tensor << ": " << end - begin << " rows do not divide among "
                       << ranks << " ranks";
  return success();
}

//===----------------------------------------------------------------------===//
// KScaleAttr: <"tensor", head_dim> or <"tensor", head_dim, room>
//===----------------------------------------------------------------------===//

LogicalResult KScaleAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringAttr,
                                 int64_t headDim, int64_t room) {
  if (headDim < 1)
    return emitError() << "k_scale needs a positive head_dim, got " << headDim;
  if (room < 1 || (room & (room - 1)))
    return emitError() << "k_scale's room must be a power of two, got " << room;
  return success();
}

//===----------------------------------------------------------------------===//
// RopeTableAttr: <scaling, [f, f, ...]>
//===----------------------------------------------------------------------===//

Attribute RopeTableAttr::parse(AsmParser &parser, Type) {
  FloatAttr scaling;
  SmallVector<float> freq;
  Type f32 = Float32Type::get(parser.getContext());
  auto element = [&]() -> ParseResult {
    double v;
    if (parser.parseFloat(v))
      return failure();
    freq.push_back(static_cast<float>(v));
    return success();
  };
  if (parser.parseLess() || parser.parseAttribute(scaling, f32) || parser.parseComma() ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, element) ||
      parser.parseGreater())
    return {};
  return RopeTableAttr::get(parser.getContext(), DenseF32ArrayAttr::get(parser.getContext(), freq),
                            scaling.getValue());
}

void RopeTableAttr::print(AsmPrinter &printer) const {
  Builder b(getContext());
  printer << "<";
  printer.printAttributeWithoutType(FloatAttr::get(b.getF32Type(), getScaling()));
  printer << ", [";
  llvm::interleaveComma(getInvFreq().asArrayRef(), printer.getStream(),
                        [&](float f) { printer << llvm::APFloat(f); });
  printer << "]>";
}

//===----------------------------------------------------------------------===//
// KvType: <heads, page, head_dim, dtype, layout>
//===----------------------------------------------------------------------===//

Type KvType::parse(AsmParser &parser) {
  int64_t heads, page, headDim;
  Type element;
  StringRef keyword;
  if (parser.parseLess() || parser.parseInteger(heads) || parser.parseComma() ||
      parser.parseInteger(page) || parser.parseComma() || parser.parseInteger(headDim) ||
      parser.parseComma() || parser.parseType(element) || parser.parseComma())
    return {};
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&keyword))
    return {};
  std::optional<KvLayout> layout = symbolizeKvLayout(keyword);
  if (!layout) {
    parser.emitError(loc, "expected token_major or k_packed");
    return {};
  }
  if (parser.parseGreater())
    return {};
  return KvType::getChecked([&] { return parser.emitError(loc); }, parser.getContext(), heads, page,
                            headDim, element, *layout);
}

void KvType::print(AsmPrinter &printer) const {
  printer << "<" << getHeads() << ", " << getPage() << ", " << getHeadDim() << ", "
          << getElementType() << ", " << stringifyKvLayout(getLayout()) << ">";
}

LogicalResult KvType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t heads,
                             int64_t page, int64_t headDim, Type element, KvLayout) {
  if (heads < 1)
    return emitError() << "cache needs at least one head, got " << heads;
  if (page < 1 || (page & (page - 1)))
    return emitError() << "cache page must be a power of two of tokens, got " << page;
  if (headDim < 2 || headDim % 2)
    return emitError() << "cache head_dim must be even and positive, got " << headDim;
  if (!isa<BFloat16Type, Float16Type, Float32Type, Float8E4M3FNType, Float8E5M2Type>(element))
    return emitError() << "cache element type must be bf16, f16, f32, f8E4M3FN or f8E5M2, got "
                       << element;
  return success();
}
