//===- Schedule.cpp - the schedule of an artefact, for people -------------===//
#include "sinter/Target/Artifact.h"

#include "llvm/Support/FormatVariadic.h"

using namespace sinter;

static std::string describeArg(const SinterArg &arg) {
  switch (arg.kind) {
  case SINTER_ARG_ARENA:
    return llvm::formatv("arena+{0}", arg.offset);
  case SINTER_ARG_WEIGHT:
    return arg.offset ? llvm::formatv("w{0}+{1}", arg.index, arg.offset).str()
                      : llvm::formatv("w{0}", arg.index).str();
  case SINTER_ARG_KV:
    return llvm::formatv("kv+{0}", arg.offset);
  case SINTER_ARG_LOGITS:
    return "logits";
  case SINTER_ARG_ARGMAX_VALUE:
    return "argmax_value";
  case SINTER_ARG_ARGMAX_INDEX:
    return "argmax_index";
  default:
    return "-";
  }
}

static std::string describeGrid(const SinterGrid &grid) {
  static const char *const kNames[] = {"1",     "tokens",  "rows",       "seqs",
                                       "max_q", "max_ctx", "short_seqs", "long_seqs"};
  std::string text = std::to_string(grid.count);
  for (int i = 0; i < 3; ++i) {
    if (grid.dim[i] == SINTER_GRID_ONE)
      continue;
    const bool isCondition = grid.div[i] == INT32_MAX;
    text += std::string(isCondition ? " if " : " x ") + kNames[grid.dim[i]];
    if (grid.div[i] != 1 && !isCondition)
      text += "/" + std::to_string(grid.div[i]);
  }
  return text;
}

std::string sinter::writeSchedule(const StepProgram &program) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (const StepEntry &entry : program.entries) {
    stream << llvm::formatv("{0}: {1}, {2} to {3} tokens, at most {4} rows\n", entry.name,
                            entry.head, entry.minTokens, entry.maxTokens, entry.maxRows);
    for (size_t i = 0; i < entry.ops.size(); ++i) {
      const StepOp &op = entry.ops[i];
      stream << llvm::formatv("{0,5}  {1,-28} {2}\n", i, op.name, program.kernels[op.kernel].name);
      stream << llvm::formatv("       {0} {1}{2}; args", program.device() ? "CTAs" : "tasks",
                              describeGrid(op.grid),
                              op.edge == SINTER_EDGE_PROGRAMMATIC ? ", dependent launch" : "");
      for (const SinterArg &arg : op.args)
        stream << ' ' << describeArg(arg);
      stream << '\n';
    }
    stream << '\n';
  }
  return text;
}
