//===- ChatTemplateTest.cpp - prompts against transformers' ---------------===//
//
// chat_golden.json is written by make_chat_golden.py. What is refused is tested in
// ChatTemplateErrorsTest.cpp.
//
//===----------------------------------------------------------------------===//
#include <filesystem>

#include <gtest/gtest.h>

#include "runtime/text/ChatTemplate.h"
#include "test/runtime/text/GoldenFiles.h"

using namespace sinter;
using namespace sinter::test;
using Json = nlohmann::ordered_json;

namespace {

Json readOrdered(const std::string &path) {
  auto text = readFile(path);
  EXPECT_TRUE(text) << path;
  return text ? Json::parse(*text) : Json();
}

/// The clock of make_chat_golden.py.
std::tm goldenClock() {
  std::tm now{};
  now.tm_year = 124, now.tm_mon = 6, now.tm_mday = 26, now.tm_wday = 5;
  now.tm_hour = 9, now.tm_min = 5, now.tm_sec = 3;
  return now;
}

ChatRenderOptions optionsOf(const Json &given) {
  ChatRenderOptions options;
  options.now = goldenClock();
  options.variables["bos_token"] = "<|bos|>";
  for (const auto &[name, value] : given.items())
    if (name == "add_generation_prompt")
      options.addGenerationPrompt = value;
    else if (name == "enable_thinking")
      options.enableThinking = value.get<bool>();
    else
      options.variables[name] = value;
  return options;
}

/// The number of cases in which we and the golden do not agree.
size_t countDifferences(const Json &golden, const ChatTemplate &chat, const Json &cases,
                        std::string *report = nullptr) {
  size_t different = 0;
  for (const Json &c : cases) {
    const std::string name = c["conversation"];
    const auto text =
        chat.render(golden["conversations"][name], golden["tools"][c["tools"].get<std::string>()],
                    optionsOf(c["options"]));
    const bool same = c.contains("error") ? !text : text && *text == c["text"].get<std::string>();
    different += !same;
    if (!same && report)
      *report += name + ", " + c["options"].dump() + "\n  " +
                 (text ? *text : text.status().message()) + "\n";
  }
  return different;
}

size_t checkGolden(const std::string &path) {
  const Json golden = readOrdered(path);
  size_t cases = 0;
  for (const Json &entry : golden["templates"]) {
    auto chat = ChatTemplate::parse(entry["source"].get<std::string>());
    EXPECT_TRUE(chat) << entry["name"] << ": " << chat.status().message();
    if (!chat)
      continue;
    std::string report;
    EXPECT_EQ(countDifferences(golden, *chat, entry["cases"], &report), 0u) << entry["name"] << "\n"
                                                                            << report;
    cases += entry["cases"].size();
  }
  return cases;
}

TEST(ChatTemplate, RendersWhatTransformersRenders) {
  EXPECT_EQ(checkGolden(kHere + "chat_golden.json"), 450u);
}

TEST(ChatTemplate, MentionsWhatItReads) {
  const auto chat = ChatTemplate::parse("{# c #}text {% if a is defined %}{{ 'b' }}{% endif %}");
  ASSERT_TRUE(chat);
  EXPECT_TRUE(chat->mentions("a"));
  for (const char *other : {"b", "c", "text", ""})
    EXPECT_FALSE(chat->mentions(other)) << other;
}

TEST(ChatTemplate, SnippetsRenderAsInJinja2) {
  const Json golden = readOrdered(kHere + "chat_golden.json");
  EXPECT_GT(golden["language"].size(), 25u);
  for (const Json &entry : golden["language"]) {
    const std::string source = entry["source"];
    auto chat = ChatTemplate::parse(source);
    ASSERT_TRUE(chat) << source << "\n" << chat.status().message();
    ChatRenderOptions options = optionsOf(Json::object());
    options.variables = golden["variables"];
    auto text = chat->render(Json::array(), nullptr, options);
    ASSERT_TRUE(text) << source << "\n" << text.status().message();
    EXPECT_EQ(*text, entry["text"].get<std::string>()) << source;
  }
}

TEST(ChatTemplate, GoldenTemplatesAreTheFilesBesideThem) {
  const Json golden = readOrdered(kHere + "chat_golden.json");
  for (const Json &entry : golden["templates"])
    EXPECT_EQ(readFile(kHere + "chat_templates/" + entry["name"].get<std::string>()),
              entry["source"].get<std::string>());
}

TEST(ChatTemplate, TemplatesOfReleasedModels) {
  const std::string folder = kShared + "chat-templates";
  if (!std::filesystem::is_directory(folder))
    GTEST_SKIP() << "no ../shared/data/chat-templates beside the checkout";
  size_t files = 0;
  for (const auto &entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".json") {
      SCOPED_TRACE(entry.path().filename().string());
      EXPECT_GT(checkGolden(entry.path().string()), 40u);
      ++files;
    }
  EXPECT_GT(files, 0u);
}

/// The comparison must notice a template that is a little off.
TEST(ChatTemplate, GoldenFailsForAChangedTemplate) {
  const Json golden = readOrdered(kHere + "chat_golden.json");
  const Json &thinking = golden["templates"].back();
  ASSERT_EQ(thinking["name"], "thinking.jinja");
  const std::string source = thinking["source"];
  const std::pair<const char *, const char *> changes[] = {
      {"messages[::-1]", "messages"},
      {"split('</think>')[-1]", "split('</think>')[0]"},
      {"is false", "is true"},
      {"loop.last or (messages", "(messages"},
      {"{%- elif message.role", "{% elif message.role"}};
  for (const auto &[from, to] : changes) {
    std::string changed = source;
    const size_t at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    changed.replace(at, std::string(from).size(), to);
    auto chat = ChatTemplate::parse(changed);
    ASSERT_TRUE(chat) << chat.status().message();
    EXPECT_GT(countDifferences(golden, *chat, thinking["cases"]), 0u) << from;
  }
}

std::string renderConfig(const Json &config, const Json &tools = nullptr,
                         std::optional<std::string_view> jinja = {}) {
  auto chat = ChatTemplate::fromTokenizerConfig(config.dump(), jinja);
  if (!chat)
    return "error: " + chat.status().message();
  auto text = chat->render(Json::array(), tools);
  return text ? *text : "error: " + text.status().message();
}

TEST(ChatTemplate, LoadsTokenizerConfig) {
  const Json tokens = {{"bos_token", "<s>"},
                       {"eos_token", {{"content", "</s>"}, {"lstrip", false}}},
                       {"pad_token", nullptr}};
  Json config = tokens;
  config["chat_template"] = "{{ bos_token }}a{{ eos_token }}{{ pad_token is defined }}";
  EXPECT_EQ(renderConfig(config), "<s>a</s>False");
  EXPECT_EQ(renderConfig(config, nullptr, "file{{ bos_token }}\n"), "file<s>");

  config["chat_template"] = {{{"name", "tool_use"}, {"template", "tools"}},
                             {{"name", "rag"}, {"template", "{% unused here %}"}},
                             {{"name", "default"}, {"template", "plain"}}};
  EXPECT_EQ(renderConfig(config), "plain");
  EXPECT_EQ(renderConfig(config, Json::array()), "tools");
  config["chat_template"].erase(0);
  EXPECT_EQ(renderConfig(config, Json::array()), "plain");
}

TEST(ChatTemplate, NamesWhatIsWrongWithTokenizerConfig) {
  EXPECT_EQ(renderConfig(Json::array()), "error: tokenizer_config.json: expected an object");
  EXPECT_EQ(renderConfig(Json::object()), "error: the model has no chat template");
  EXPECT_EQ(
      renderConfig({{"chat_template", 3}}),
      "error: tokenizer_config.json: \"chat_template\": expected a string or an array, got 3");
  EXPECT_EQ(renderConfig({{"chat_template", Json::array({Json{{"name", "x"}}})}}),
            "error: tokenizer_config.json: \"chat_template\": expected objects with \"name\" and "
            "\"template\"");
  EXPECT_EQ(renderConfig({{"chat_template", Json::array()}}),
            "error: tokenizer_config.json: \"chat_template\" has no template \"default\"");
  EXPECT_EQ(renderConfig({{"chat_template", "a\n{{ }}"}}),
            "error: chat template, line 2: expected an expression, got \"}}\"");
  EXPECT_EQ(renderConfig({{"chat_template",
                           Json::array({Json{{"name", "default"}, {"template", "{% do x %}"}}})}}),
            "error: tokenizer_config.json: template \"default\": chat template, line 1: the "
            "statement \"do\" is not supported");
  EXPECT_EQ(renderConfig({{"chat_template", ""}, {"bos_token", 1}}),
            "error: tokenizer_config.json: \"bos_token\": expected a string or an object with "
            "\"content\"");
  auto broken = ChatTemplate::fromTokenizerConfig("{");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.status().code(), StatusCode::InvalidInput);
}

} // namespace
