"""lit configuration: .mlir tests run our tools and FileCheck."""

import os

import lit.formats

config.name = "sinter"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.excludes = ["Inputs"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.sinter_binary_dir, "test")

# Our tools by name. A tool that was not built is a missing feature, not a failing test:
# `REQUIRES: sinter-compile` and the test counts as unsupported.
OUR_TOOLS = ["sinter-opt", "sinter-compile", "sinter-interpret", "sinter-inspect", "sinter-run"]
for tool in OUR_TOOLS:
    path = os.path.join(config.sinter_tools_dir, tool)
    if os.path.exists(path):
        config.available_features.add(tool)
        config.substitutions.append((r"\b(?<![-\w/.])%s\b(?![-\w])" % tool, path))
for tool in ["FileCheck", "llvm-readelf", "not", "split-file"]:
    path = os.path.join(config.llvm_tools_dir, tool)
    config.substitutions.append((r"(?<![-\w/.%%{])\b%s\b" % tool, path))

# Data that comes with a full checkout only; tests that read it say `REQUIRES: shared-data`.
config.substitutions.append(("%shared_data", config.shared_data_dir))
if os.path.isdir(config.shared_data_dir):
    config.available_features.add("shared-data")
config.substitutions.append(("%models", os.path.join(config.sinter_source_dir, "models")))
config.substitutions.append(("%inputs", os.path.join(config.test_source_root, "Inputs")))

# Instrumented objects poison LLVM's arenas, which libMLIR.so fills without instrumentation.
config.environment.setdefault("ASAN_OPTIONS", "allow_user_poisoning=0")
