//===- ChatTemplateFuzzer.cpp - any bytes as a chat template --------------===//
#include "runtime/text/ChatTemplate.h"
#include "runtime/text/Unicode.h"
#include "test/fuzz/FuzzCheck.h"

#include <string_view>

using namespace sinter;
using Json = nlohmann::ordered_json;

namespace {

const Json &messages() {
  static const Json kMessages = Json::parse(R"([
    {"role": "system", "content": " Be kind. "},
    {"role": "user", "content": [{"type": "text", "text": "h\u00e9llo"}, {"type": "image"}]},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nok", "tool_calls":
      [{"type": "function", "function": {"name": "f", "arguments": {"a": [1, -2.5, null]}}}]},
    {"role": "tool", "content": "{}"},
    {"role": "user", "content": "bye"}])");
  return kMessages;
}

const Json &tools() {
  static const Json kTools = Json::parse(R"([{"type": "function", "function": {"name": "f",
    "parameters": {"type": "object", "properties": {"items": {"type": "array"}}}}}])");
  return kTools;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string_view source(reinterpret_cast<const char *>(data), size);
  const auto chat = ChatTemplate::parse(source);
  if (!chat) {
    fuzz::checkRefusal(chat.status());
    return 0;
  }
  ChatRenderOptions options;
  options.now = std::tm{};
  options.now->tm_mday = 1;
  options.maxOutput = 1 << 16;
  options.maxWork = 1 << 18;
  for (bool all : {true, false}) {
    options.addGenerationPrompt = all;
    options.enableThinking = !all;
    const auto text =
        chat->render(all ? messages() : Json::array(), all ? tools() : Json(), options);
    if (!text) {
      fuzz::checkRefusal(text.status());
      continue;
    }
    FUZZ_CHECK(text->size() <= options.maxOutput);
    FUZZ_CHECK(!text::findInvalidUtf8(*text));
    const auto again =
        chat->render(all ? messages() : Json::array(), all ? tools() : Json(), options);
    FUZZ_CHECK(again && *again == *text);
  }
  return 0;
}
