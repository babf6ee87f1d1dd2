# Turns INPUT into a C++ function that returns its bytes: cmake -DINPUT= -DOUTPUT= -P EmbedObject.cmake
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "((0x..,){20})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "// Written by EmbedObject.cmake.
#include \"StepObject.h\"
static const unsigned char kBytes[] = {
${bytes}};
llvm::StringRef sinter::stepObject() {
  return {reinterpret_cast<const char *>(kBytes), sizeof(kBytes)};
}
")
