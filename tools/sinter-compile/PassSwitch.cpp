//===- PassSwitch.cpp - leaving out merges and fusions --------------------===//
#include "PassSwitch.h"

#include "sinter/Registration.h"

#include "mlir/IR/Action.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace sinter;

static bool isOptional(StringRef pass) {
  return pass.starts_with("xfmr-merge-") || pass.starts_with("xfmr-fuse-");
}

static std::string fullName(const std::string &name) {
  return StringRef(name).starts_with("xfmr-") ? name : "xfmr-" + name;
}

bool sinter::isLinearWrite(const std::string &name) {
  return fullName(name) == fullName(kLinearWrite);
}

Status sinter::switchPasses(MLIRContext &context, bool fusion,
                            const std::vector<std::string> &disabled) {
  if (fusion && disabled.empty())
    return Status::ok();
  registerPasses();
  llvm::StringSet<> off;
  for (const std::string &name : disabled) {
    if (isLinearWrite(name))
      continue;
    const std::string full = fullName(name);
    if (!isOptional(full) || !PassInfo::lookup(full))
      return invalidArgument("--disable-pass: no merge or fusion is called \"" + name +
                             "\" (sinter-opt --help lists them; besides, " + kLinearWrite + ")");
    off.insert(full);
  }
  context.registerActionHandler(
      [off, fusion](llvm::function_ref<void()> transform, const tracing::Action &action) {
        auto *execution = dyn_cast<PassExecutionAction>(&action);
        const StringRef pass = execution ? execution->getPass().getArgument() : "";
        if (!off.contains(pass) && (fusion || !isOptional(pass)))
          transform();
      });
  return Status::ok();
}
