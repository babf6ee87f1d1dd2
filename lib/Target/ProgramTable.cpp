//===- ProgramTable.cpp - StepProgram as constants of sinter_abi.h ---------===//
#include "TargetMachine.h"
#include "sinter/Target/HostObject.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/DerivedTypes.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

using namespace mlir;
using namespace sinter;

LogicalResult sinter::checkProgram(Location loc, const StepProgram &program) {
  for (const StepEntry &entry : program.entries)
    for (const StepOp &op : entry.ops) {
      const auto refuse = [&](const Twine &why) {
        return emitError(loc) << entry.name << ": " << op.name << ": " << why;
      };
      if (op.kernel >= program.kernels.size())
        return refuse("has no kernel");
      if (op.args.size() > SINTER_MAX_ARGS)
        return refuse("has more than " + Twine(SINTER_MAX_ARGS) + " arguments");
      for (int i = 0; i < 3; ++i)
        if (op.grid.div[i] == 0 || op.grid.dim[i] > SINTER_GRID_LONG_SEQS)
          return refuse("has a malformed grid");
      for (const SinterArg &arg : op.args)
        if (arg.kind > SINTER_ARG_ARGMAX_INDEX)
          return refuse("has an argument of an unknown kind");
    }
  return success();
}

namespace {

/// Builds the structs of sinter_abi.h field by field; the C compiler lays them out the same way.
class TableBuilder {
public:
  explicit TableBuilder(llvm::Module &module)
      : module(module), context(module.getContext()), i32(llvm::Type::getInt32Ty(context)),
        i64(llvm::Type::getInt64Ty(context)), pointer(llvm::PointerType::get(context, 0)),
        argType(llvm::StructType::get(i32, i32, i64)),
        opType(llvm::StructType::get(llvm::ArrayType::get(pointer, kCpuIsas), gridType(), i32, i32,
                                     i32, i32)),
        entryType(llvm::StructType::get(context, SmallVector<llvm::Type *>(7, i32))) {}

  void build(const StepProgram &program) {
    for (const StepEntry &entry : program.entries)
      addEntry(program, entry);
    auto *type = llvm::StructType::get(context, {i32, i32, i32, i32, pointer, pointer, pointer});
    auto *table = llvm::ConstantStruct::get(
        type, {number(SINTER_ABI_VERSION), number(entries.size()), number(program.device() ? 1 : 0),
               number(0), array(entryType, entries), array(opType, ops), array(argType, args)});
    auto *global = new llvm::GlobalVariable(module, type, true, llvm::GlobalValue::ExternalLinkage,
                                            table, "sinter_program");
    global->setVisibility(llvm::GlobalValue::HiddenVisibility);
  }

private:
  llvm::StructType *gridType() {
    auto *three = llvm::ArrayType::get(i32, 3);
    return llvm::StructType::get(i32, three, three, i32);
  }
  llvm::Constant *number(uint64_t value) { return llvm::ConstantInt::get(i32, value); }

  llvm::Constant *array(llvm::Type *element, ArrayRef<llvm::Constant *> values) {
    auto *type = llvm::ArrayType::get(element, values.size());
    auto *global = new llvm::GlobalVariable(module, type, true, llvm::GlobalValue::PrivateLinkage,
                                            llvm::ConstantArray::get(type, values), "sinter_table");
    return global;
  }

  llvm::Constant *kernel(const std::string &symbol) {
    if (symbol.empty())
      return llvm::ConstantPointerNull::get(pointer);
    auto *type = llvm::FunctionType::get(llvm::Type::getVoidTy(context),
                                         {pointer, i32, i32, pointer}, false);
    auto *function =
        llvm::cast<llvm::Function>(module.getOrInsertFunction(symbol, type).getCallee());
    function->setVisibility(llvm::GlobalValue::HiddenVisibility);
    return function;
  }

  llvm::Constant *grid(const SinterGrid &grid) {
    llvm::Constant *dim = llvm::ConstantDataArray::get(context, ArrayRef<uint32_t>(grid.dim, 3));
    llvm::Constant *div = llvm::ConstantDataArray::get(context, ArrayRef<uint32_t>(grid.div, 3));
    return llvm::ConstantStruct::get(gridType(),
                                     {number(grid.count), dim, div, number(grid.split)});
  }

  void addOp(const StepProgram &program, const StepOp &op) {
    const StepKernel &k = program.kernels[op.kernel];
    llvm::SmallVector<llvm::Constant *> functions;
    for (const std::string &symbol : k.symbol)
      functions.push_back(kernel(symbol));
    auto *kernels = llvm::ConstantArray::get(llvm::ArrayType::get(pointer, kCpuIsas), functions);
    ops.push_back(llvm::ConstantStruct::get(opType, {kernels, grid(op.grid), number(args.size()),
                                                     number(op.args.size()), number(op.kernel),
                                                     number(op.edge)}));
    for (const SinterArg &arg : op.args)
      args.push_back(llvm::ConstantStruct::get(
          argType, {number(arg.kind), number(arg.index), llvm::ConstantInt::get(i64, arg.offset)}));
  }

  void addEntry(const StepProgram &program, const StepEntry &entry) {
    entries.push_back(llvm::ConstantStruct::get(
        entryType, {number(ops.size()), number(entry.ops.size()), number(entry.minTokens),
                    number(entry.maxTokens), number(entry.maxRows), number(headNumber(entry.head)),
                    number(entry.maxQ)}));
    for (const StepOp &op : entry.ops)
      addOp(program, op);
  }

  static unsigned headNumber(StringRef head) {
    return head == "argmax" ? 1 : head == "sample" ? 2 : 0;
  }

  llvm::Module &module;
  llvm::LLVMContext &context;
  llvm::Type *i32, *i64;
  llvm::PointerType *pointer;
  llvm::StructType *argType, *opType, *entryType;
  std::vector<llvm::Constant *> entries, ops, args;
};

static_assert(sizeof(SinterArg) == 16 && sizeof(SinterGrid) == 32 && sizeof(SinterOpRecord) == 72 &&
                  sizeof(SinterEntryRecord) == 28 && sizeof(SinterProgram) == 40,
              "TableBuilder mirrors these structs");

void addSection(llvm::Module &module, const Section &section,
                std::vector<llvm::GlobalValue *> &used) {
  auto *bytes = llvm::ConstantDataArray::getString(module.getContext(), section.second, false);
  auto *global = new llvm::GlobalVariable(
      module, bytes->getType(), true, llvm::GlobalValue::InternalLinkage, bytes, "sinter_section");
  global->setSection(section.first);
  global->setAlignment(llvm::Align(1));
  used.push_back(global);
}

} // namespace

FailureOr<ObjectBytes> sinter::emitTableObject(Location loc, const StepProgram &program,
                                               ArrayRef<Section> sections) {
  llvm::LLVMContext context;
  llvm::Module module("sinter_program", context);
  std::unique_ptr<llvm::TargetMachine> machine = createHostMachine("x86-64");
  if (!machine)
    return emitError(loc, "LLVM was built without its X86 target");
  module.setTargetTriple(machine->getTargetTriple());
  module.setDataLayout(machine->createDataLayout());
  TableBuilder(module).build(program);
  std::vector<llvm::GlobalValue *> used;
  for (const Section &section : sections)
    addSection(module, section, used);
  llvm::appendToUsed(module, used);
  ObjectBytes object;
  if (!emitCode(*machine, module, llvm::CodeGenFileType::ObjectFile, object))
    return emitError(loc, "LLVM cannot emit the program table");
  return object;
}
