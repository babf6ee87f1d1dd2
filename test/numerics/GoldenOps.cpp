//===- GoldenOps.cpp - transformers' Qwen3, op by op ----------------------===//
#include "GoldenOps.h"

#include "sinter/Support/Half.h"
#include "sinter/Support/Json.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace sinter;
using namespace sinter::interp;
using nlohmann::json;

namespace {

GoldenOp parseOp(const json &record) {
  GoldenOp op;
  op.op = record.at("op");
  op.inputs = record.at("inputs").get<std::vector<std::string>>();
  op.output = record.at("output");
  if (record.contains("weight"))
    op.weight = "weights/" + record.at("weight").get<std::string>();
  if (record.contains("bias"))
    op.bias = "weights/" + record.at("bias").get<std::string>();
  op.eps = record.value("eps", 0.0);
  op.scale = record.value("scale", 0.0);
  op.frequencies = record.value("inv_freq", "");
  op.positions = record.value("positions", "");
  op.attentionScaling = record.value("attention_scaling", 1.0);
  return op;
}

/// A record of "rope" as two ops, on rope.q and on rope.k.
std::vector<GoldenOp> parseRope(const json &record) {
  const std::string name = record.at("name");
  std::vector<GoldenOp> ops;
  for (const std::string part : {"q", "k"}) {
    GoldenOp op;
    op.op = "rope";
    op.inputs = {"rope." + part};
    op.output = name + "." + part + "_out";
    op.frequencies = name + ".inv_freq";
    op.positions = "rope.positions";
    op.attentionScaling = record.at("attention_scaling");
    ops.push_back(op);
  }
  return ops;
}

std::string number(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.9e", value);
  return text;
}

std::string typeOf(const std::vector<int64_t> &shape, const std::string &element) {
  std::string text = "tensor<";
  for (int64_t size : shape)
    text += std::to_string(size) + "x";
  return text + element + ">";
}

/// Collects a function's text.
class Writer {
public:
  explicit Writer(const GoldenFile &file) : file_(file) {}

  void argument(const std::string &name, Tensor tensor, const std::string &element) {
    const std::string type = typeOf(tensor.shape, element);
    parameters_ += (parameters_.empty() ? "%" : ", %") + name + ": " + type;
    operands_ += (operands_.empty() ? "" : ", ") + type;
    arguments.push_back(std::move(tensor));
  }
  void opaque(const std::string &name, const std::string &type) {
    parameters_ += ", %" + name + ": " + type;
    operands_ += ", " + type;
  }
  Status weight(const std::string &name, const std::string &tensor) {
    SINTER_ASSIGN_OR_RETURN(const Tensor values, file_.tensor(tensor));
    declare(name, typeOf(values.shape, "bf16"),
            "[#xfmr.source<\"" + tensor + "\", 0, " + std::to_string(values.rows()) + ">]");
    return Status::ok();
  }
  void declare(const std::string &name, const std::string &type, const std::string &init) {
    symbols_ += "xfmr.weight @" + name + " : " + type + " from " + init + "\n";
    body_ += "  %" + name + " = xfmr.get_weight @" + name + " : " + type + "\n";
    operands_ += ", " + type;
  }
  void line(const std::string &text) { body_ += "  " + text + "\n"; }
  const std::string &operands() const { return operands_; }

  std::string finish(const std::string &resultType, const std::string &handleType = "") const {
    const std::string types = resultType + (handleType.empty() ? "" : ", " + handleType);
    return symbols_ + "func.func @f(" + parameters_ + ") -> (" + types + ") {\n" + body_ +
           "  return %y" + (handleType.empty() ? "" : ", %h") + " : " + types + "\n}\n";
  }

  std::vector<Tensor> arguments;

private:
  const GoldenFile &file_;
  std::string symbols_, parameters_, body_, operands_;
};

/// Linears and the feed-forward see [T, features]; norms, rope and attention see heads.
Tensor flattened(Tensor tensor) {
  if (tensor.shape.size() == 3)
    tensor.shape = {tensor.dim(0), tensor.dim(1) * tensor.dim(2)};
  return tensor;
}

Status writeRope(Writer &writer, const GoldenFile &file, const GoldenOp &op, int64_t headDim,
                 int64_t positions) {
  SINTER_ASSIGN_OR_RETURN(const Tensor frequencies, file.tensor(op.frequencies));
  std::string list;
  for (double frequency : frequencies.data)
    list += (list.empty() ? "" : ", ") + number(frequency);
  writer.declare("w", typeOf({positions, headDim}, "f32"),
                 "#xfmr.rope_table<" + number(op.attentionScaling) + ", [" + list + "]>");
  return Status::ok();
}

Batch batchAt(const std::vector<double> &positions) {
  Batch batch;
  const auto count = int32_t(positions.size());
  batch.cuQ = {0, count};
  batch.ctx = {0};
  batch.tableStride = 1;
  batch.blockTable = {0};
  for (int32_t t = 0; t < count; ++t) {
    batch.tokens.push_back(0);
    batch.positions.push_back(int32_t(positions[size_t(t)]));
    batch.slots.push_back(t);
    batch.ctx[0] = std::max(batch.ctx[0], batch.positions.back() + 1);
  }
  return batch;
}

/// kv_write of k and v, then attention: pages as large as the prompt.
std::string writeAttention(Writer &writer, const GoldenOp &op, const std::string &dtype,
                           const std::vector<int64_t> &q, const std::vector<int64_t> &k) {
  const std::string handle = "!xfmr.kv<" + std::to_string(k[1]) + ", 8, " + std::to_string(k[2]) +
                             ", " + dtype + ", token_major>";
  const std::string qType = typeOf(q, dtype), kType = typeOf(k, dtype);
  writer.opaque("batch", "!xfmr.batch");
  writer.opaque("kv", handle);
  writer.line("%h = xfmr.kv_write %kv, %x1, %x2, %batch : (" + handle + ", " + kType + ", " +
              kType + ", !xfmr.batch) -> " + handle);
  writer.line("%y = xfmr.attention %x0, %h, %batch {scale = " + number(op.scale) + " : f32} : (" +
              qType + ", " + handle + ", !xfmr.batch) -> " + qType);
  return writer.finish(qType, handle);
}

/// Any op but attention: weights and attributes after the inputs `names`.
Result<std::string> writeDense(Writer &writer, const GoldenFile &file, const GoldenOp &op,
                               std::string names, const std::vector<int64_t> &shape,
                               int64_t positions, const std::string &type) {
  if (!op.weight.empty()) {
    SINTER_RETURN_IF_ERROR(writer.weight("w", op.weight));
    names += ", %w";
  }
  if (!op.bias.empty()) {
    SINTER_RETURN_IF_ERROR(writer.weight("b", op.bias));
    names += " bias %b";
  }
  if (op.op == "rope") {
    SINTER_RETURN_IF_ERROR(writeRope(writer, file, op, shape[2], positions));
    writer.opaque("batch", "!xfmr.batch");
    names += ", %w, %batch";
  }
  const std::string attributes = op.op == "rms_norm" ? " {eps = " + number(op.eps) + " : f32}" : "";
  const std::string signature = op.op == "add" ? type : "(" + writer.operands() + ") -> " + type;
  writer.line("%y = xfmr." + op.op + " " + names + attributes + " : " + signature);
  return writer.finish(type);
}

} // namespace

Result<GoldenFile> GoldenFile::open(const std::string &folder) {
  GoldenFile file;
  SINTER_ASSIGN_OR_RETURN(const std::string text,
                          readTextFile(folder + "/qwen3_ops.json", 1 << 20));
  SINTER_ASSIGN_OR_RETURN(const json root, parseJson(text, "qwen3_ops.json"));
  for (const json &record : root.at("ops"))
    file.ops_.push_back(parseOp(record));
  for (const json &record : root.at("rope"))
    for (const GoldenOp &op : parseRope(record))
      file.ropes_.push_back(op);
  SINTER_ASSIGN_OR_RETURN(SafetensorsFile tensors,
                          SafetensorsFile::open(folder + "/qwen3_ops.safetensors"));
  file.files_ = std::make_shared<std::vector<SafetensorsFile>>();
  file.files_->push_back(std::move(tensors));
  file.weights_ = fileWeights(file.files_);
  return file;
}

Result<Tensor> GoldenFile::tensor(const std::string &name) const {
  const SafetensorsTensor *found = (*files_)[0].header().find(name);
  if (!found)
    return notFound("qwen3_ops.safetensors: no tensor " + name);
  SINTER_ASSIGN_OR_RETURN(const DType type, usableDType(*found, "qwen3_ops.safetensors"));
  Tensor tensor(found->shape);
  const size_t size = dtypeBytes(type);
  std::vector<uint8_t> bytes(tensor.data.size() * size);
  SINTER_RETURN_IF_ERROR((*files_)[0].read(*found, 0, bytes.size(), bytes.data()));
  for (size_t i = 0; i < tensor.data.size(); ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, bytes.data() + i * size, size);
    tensor.data[i] = type == DType::F32   ? double(floatOf(bits))
                     : type == DType::I32 ? double(int32_t(bits))
                                          : double(bf16ToF32(uint16_t(bits)));
  }
  return tensor;
}

Result<Tensor> GoldenFile::value(const std::string &dtype, const std::string &name) const {
  const bool shared = name == "ids" || name == "positions" || name == "rope.positions" ||
                      name == "rope.q" || name == "rope.k";
  return tensor(shared ? name : dtype + "/" + name);
}

Result<GoldenCase> interp::makeCase(const GoldenFile &file, const GoldenOp &op,
                                    const std::string &dtype) {
  Writer writer(file);
  const bool flat = op.op == "linear";
  std::vector<std::vector<int64_t>> shapes;
  std::string names;
  for (const std::string &input : op.inputs) {
    SINTER_ASSIGN_OR_RETURN(Tensor tensor, file.value(dtype, input));
    if (flat)
      tensor = flattened(std::move(tensor));
    const std::string name = "x" + std::to_string(shapes.size());
    names += (names.empty() ? "%" : ", %") + name;
    shapes.push_back(tensor.shape);
    writer.argument(name, std::move(tensor), input == "ids" ? "i32" : dtype);
  }
  GoldenCase result;
  SINTER_ASSIGN_OR_RETURN(result.want, file.value(dtype, op.output));
  if (flat)
    result.want = flattened(std::move(result.want));
  SINTER_ASSIGN_OR_RETURN(
      const Tensor positions,
      file.tensor(op.positions.empty() ? std::string("positions") : op.positions));
  result.batch = batchAt(positions.data);
  const std::string type = typeOf(result.want.shape, dtype);
  if (op.op == "attention") {
    result.text = writeAttention(writer, op, dtype, shapes[0], shapes[1]);
    result.arguments = std::move(writer.arguments);
    return result;
  }
  SINTER_ASSIGN_OR_RETURN(
      result.text, writeDense(writer, file, op, names, shapes[0], result.batch.ctx[0], type));
  result.arguments = std::move(writer.arguments);
  return result;
}
