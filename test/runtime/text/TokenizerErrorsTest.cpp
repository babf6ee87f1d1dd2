//===- TokenizerErrorsTest.cpp - one line for every refused tokenizer.json ===//

#include "test/runtime/text/GoldenFiles.h"

using namespace sinter;
using namespace sinter::test;
using Json = nlohmann::json;

namespace {

struct Change {
  const char *pointer; ///< JSON pointer to what is set
  const char *value;   ///< JSON
  const char *message;
};

Status load(const std::string &json) { return Tokenizer::fromJson(json).status(); }

void expectErrors(StatusCode code, std::initializer_list<Change> changes) {
  for (const Change &change : changes) {
    SCOPED_TRACE(std::string(change.pointer) + " = " + change.value);
    Json file = readJson(kHere + "small_tokenizer.json");
    file[Json::json_pointer(change.pointer)] = Json::parse(change.value);
    Status status = load(file.dump());
    EXPECT_EQ(status.message(), change.message);
    EXPECT_EQ(status.code(), code);
  }
}

TEST(TokenizerErrors, UnsupportedSettingsNameTheKey) {
  expectErrors(
      StatusCode::Unsupported,
      {{"/version", "\"2.0\"", "version: \"2.0\" is not supported"},
       {"/surprise", "1", "surprise: this key is not supported"},
       {"/line\nbreak", "1", "\"line\\nbreak\": this key is not supported"},
       {"/truncation", "{\"max_length\":8}", "truncation: {\"max_length\":8} is not supported"},
       {"/padding", "{}", "padding: {} is not supported"},
       {"/normalizer/type", "\"NFKC\"", "normalizer.type: \"NFKC\" is not supported"},
       {"/normalizer/form", "1", "normalizer.form: this key is not supported"},
       {"/normalizer", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}",
        "normalizer.normalizers[0].type: \"Lowercase\" is not supported"},
       {"/normalizer",
        "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Sequence\",\"normalizers\":[]}]}",
        "normalizer.normalizers[0].type: \"Sequence\" is not supported"},
       {"/normalizer", "{\"type\":\"Sequence\",\"normalizers\":[],\"x\":0}",
        "normalizer.x: this key is not supported"},
       {"/pre_tokenizer/type", "\"Whitespace\"",
        "pre_tokenizer.type: \"Whitespace\" is not supported"},
       {"/pre_tokenizer/x", "0", "pre_tokenizer.x: this key is not supported"},
       {"/pre_tokenizer/pretokenizers/0/type", "\"Digits\"",
        "pre_tokenizer.pretokenizers[0].type: \"Digits\" is not supported"},
       {"/pre_tokenizer/pretokenizers/0/x", "0",
        "pre_tokenizer.pretokenizers[0].x: this key is not supported"},
       {"/pre_tokenizer/pretokenizers/0/behavior", "\"Removed\"",
        "pre_tokenizer.pretokenizers[0].behavior: \"Removed\" is not supported"},
       {"/pre_tokenizer/pretokenizers/0/invert", "true",
        "pre_tokenizer.pretokenizers[0].invert: true is not supported"},
       {"/pre_tokenizer/pretokenizers/0/pattern", "{\"String\":\"a\"}",
        "pre_tokenizer.pretokenizers[0].pattern.String: this key is not supported"},
       {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"\\\\w+\"",
        "pre_tokenizer: regular expression, byte 0: \"\\w\" is not supported"},
       {"/pre_tokenizer/pretokenizers/1/add_prefix_space", "true",
        "pre_tokenizer.pretokenizers[1].add_prefix_space: true is not supported"},
       {"/pre_tokenizer/pretokenizers/1/x", "true",
        "pre_tokenizer.pretokenizers[1].x: this key is not supported"},
       {"/pre_tokenizer/pretokenizers/2", "{\"type\":\"ByteLevel\"}",
        "pre_tokenizer.pretokenizers[1]: ByteLevel must come last, and only last"},
       {"/pre_tokenizer/pretokenizers/1", "{\"type\":\"Split\"}",
        "pre_tokenizer.pretokenizers[1]: ByteLevel must come last, and only last"},
       {"/post_processor", "{\"type\":\"TemplateProcessing\"}",
        "post_processor.type: \"TemplateProcessing\" is not supported"},
       {"/post_processor", "{\"type\":\"ByteLevel\",\"x\":1}",
        "post_processor.x: this key is not supported"},
       {"/decoder", "null", "decoder: null is not supported"},
       {"/decoder/type", "\"WordPiece\"", "decoder.type: \"WordPiece\" is not supported"},
       {"/decoder/x", "1", "decoder.x: this key is not supported"},
       {"/added_tokens/1/single_word", "true",
        "added_tokens[1].single_word: true is not supported"},
       {"/added_tokens/1/x", "true", "added_tokens[1].x: this key is not supported"},
       {"/model/type", "\"Unigram\"", "model.type: \"Unigram\" is not supported"},
       {"/model/x", "1", "model.x: this key is not supported"},
       {"/model/dropout", "0.1", "model.dropout: 0.1 is not supported"},
       {"/model/unk_token", "\"<unk>\"", "model.unk_token: \"<unk>\" is not supported"},
       {"/model/continuing_subword_prefix", "\"##\"",
        "model.continuing_subword_prefix: \"##\" is not supported"},
       {"/model/end_of_word_suffix", "\"</w>\"",
        "model.end_of_word_suffix: \"</w>\" is not supported"},
       {"/model/byte_fallback", "true", "model.byte_fallback: true is not supported"}});
}

TEST(TokenizerErrors, WrongTypesNameTheKey) {
  expectErrors(
      StatusCode::InvalidInput,
      {{"/normalizer", "3", "normalizer: needs an object"},
       {"/normalizer", "{}", "normalizer.type: needs a string"},
       {"/normalizer", "{\"type\":\"Sequence\"}", "normalizer.normalizers: needs a list"},
       {"/pre_tokenizer", "null", "pre_tokenizer: needs an object"},
       {"/pre_tokenizer/pretokenizers", "[]",
        "pre_tokenizer.pretokenizers: needs a list that is not empty"},
       {"/pre_tokenizer/pretokenizers/0", "[]", "pre_tokenizer.pretokenizers[0]: needs an object"},
       {"/pre_tokenizer/pretokenizers/0/pattern", "\"a\"",
        "pre_tokenizer.pretokenizers[0].pattern: needs an object"},
       {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "1",
        "pre_tokenizer.pretokenizers[0].pattern.Regex: needs a string"},
       {"/pre_tokenizer/pretokenizers/0/invert", "0",
        "pre_tokenizer.pretokenizers[0].invert: needs true or false"},
       {"/pre_tokenizer/pretokenizers/1/add_prefix_space", "null",
        "pre_tokenizer.pretokenizers[1].add_prefix_space: needs true or false"},
       {"/pre_tokenizer/pretokenizers/1/trim_offsets", "null",
        "pre_tokenizer.pretokenizers[1].trim_offsets: needs true or false"},
       {"/pre_tokenizer/pretokenizers/1/use_regex", "\"no\"",
        "pre_tokenizer.pretokenizers[1].use_regex: needs true or false"},
       {"/added_tokens", "{}", "added_tokens: needs a list"},
       {"/added_tokens/0", "7", "added_tokens[0]: needs an object"},
       {"/added_tokens/0/id", "-1", "added_tokens[0].id: needs a token id up to 4194303"},
       {"/added_tokens/0/id", "4194304", "added_tokens[0].id: needs a token id up to 4194303"},
       {"/added_tokens/0/id", "0", "added_tokens[0].id: 0 contradicts model.vocab"},
       {"/added_tokens/1/id", "420", "added_tokens[1].id: 420 is used twice"},
       {"/added_tokens/0/content", "\"\"",
        "added_tokens[0].content: needs a string that is not empty"},
       {"/added_tokens/0/content", "\"a\"", "added_tokens[0].id: 420 contradicts model.vocab"},
       {"/added_tokens/1/content", "\"<|end|>\"", "added_tokens[1].content: appears twice"},
       {"/added_tokens/0/special", "null", "added_tokens[0].special: needs true or false"},
       {"/added_tokens/0/lstrip", "null", "added_tokens[0].lstrip: needs true or false"},
       {"/added_tokens/0/rstrip", "null", "added_tokens[0].rstrip: needs true or false"},
       {"/added_tokens/0/normalized", "1", "added_tokens[0].normalized: needs true or false"},
       {"/added_tokens/0/single_word", "1", "added_tokens[0].single_word: needs true or false"},
       {"/model", "7", "model: needs an object"},
       {"/model", "{\"type\":\"BPE\"}", "model.vocab: missing"},
       {"/model", "{\"type\":\"BPE\",\"vocab\":{}}", "model.merges: missing"},
       {"/model/fuse_unk", "0", "model.fuse_unk: needs true or false"},
       {"/model/ignore_merges", "0", "model.ignore_merges: needs true or false"},
       {"/model/byte_fallback", "0", "model.byte_fallback: needs true or false"},
       {"/model/vocab", "[]", "model.vocab: needs an object"},
       {"/model/vocab", "1", "model.vocab: needs an object"},
       {"/model/vocab/a", "\"1\"", "model.vocab[\"a\"]: needs a token id up to 4194303"},
       {"/model/vocab/a", "4194304", "model.vocab[\"a\"]: needs a token id up to 4194303"},
       {"/model/vocab/a", "-1", "model.vocab[\"a\"]: needs a token id up to 4194303"},
       {"/model/vocab/a", "{}", "model.vocab[\"a\"]: needs a token id up to 4194303"},
       {"/model/vocab/a", "[]", "model.vocab[\"a\"]: needs a token id up to 4194303"},
       {"/model/vocab/~01", "0", "model.vocab[\"~1\"]: id 0 is used twice"},
       {"/model/merges", "{}", "model.merges: needs a list"},
       {"/model/merges", "\"a b\"", "model.merges: needs a list"},
       {"/model/merges/3", "7", "model.merges[3]: needs \"a b\" or [\"a\", \"b\"]"},
       {"/model/merges/3", "\"ab\"", "model.merges[3]: needs \"a b\" or [\"a\", \"b\"]"},
       {"/model/merges/3", "\"a b c\"", "model.merges[3]: needs \"a b\" or [\"a\", \"b\"]"},
       {"/model/merges/3", "{}", "model.merges[3]: needs \"a b\" or [\"a\", \"b\"]"},
       {"/model/merges/3", "[\"a\"]", "model.merges[3]: needs \"a b\" or [\"a\", \"b\"]"},
       {"/model/merges/3", "[\"a\",1]", "model.merges[3]: needs \"a b\" or [\"a\", \"b\"]"},
       {"/model/merges/3", "[\"a\",\"b\",\"c\"]",
        "model.merges[3]: needs \"a b\" or [\"a\", \"b\"]"},
       {"/model/merges/3", "[[]]", "model.merges[3]: needs \"a b\" or [\"a\", \"b\"]"},
       {"/model/merges/3", "[\"qq\",\"a\"]", "model.merges[3]: \"qq\" is not in model.vocab"},
       {"/model/merges/3", "[\"q\",\"x\"]", "model.merges[3]: \"qx\" is not in model.vocab"}});
}

TEST(TokenizerErrors, MalformedJsonNamesTheByte) {
  struct {
    const char *json, *message;
  } cases[] = {
      {"", "not valid JSON at byte 1"},
      {"{", "not valid JSON at byte 2"},
      {"[]", "needs an object at the top"},
      {"7", "needs an object at the top"},
      {"{\"model\":{\"vocab\":{\"a\":1,}}}", "not valid JSON at byte 26, near model.vocab[\"a\"]"},
      {"{\"model\":{\"merges\":[\"a b\" 1", "not valid JSON at byte 27, near model.merges[1]"},
      {"{\"model\":{\"vocab\":{\"\xFF\":1}}}", "not valid JSON at byte 21, near model.vocab[\"\"]"},
      {"{\"model\":{\"vocab\":{},\"vocab\":{}}}", "model.vocab: appears twice"},
      {"{\"model\":{\"merges\":[],\"merges\":[]}}", "model.merges: appears twice"},
      {"{\"version\":\"1.0\"}", "model: needs an object"},
      {"{} trailing", "not valid JSON at byte 6"},
  };
  for (const auto &c : cases) {
    Status status = load(c.json);
    EXPECT_EQ(status.message(), c.message) << c.json;
    EXPECT_EQ(status.code(), StatusCode::InvalidInput) << c.json;
  }
  Status deep = load(std::string(100000, '['));
  EXPECT_EQ(deep.message(), "more than 64 levels of nesting");
  std::string longKeys;
  for (int i = 0; i < 60; ++i)
    longKeys += "{\"" + std::string(100, 'k') + "\":";
  const Status longPath = load(longKeys + "x");
  EXPECT_NE(longPath.message().find(", near \"kkk"), std::string::npos) << longPath.message();
  EXPECT_LT(longPath.message().size(), 700u);
  EXPECT_EQ(load("{\"model\":{\"vocab\":{\"a\":1,\"a\":2},\"merges\":[]}}").code(),
            StatusCode::Unsupported)
      << "no version";
}

TEST(TokenizerErrors, EveryTruncationIsOneLine) {
  std::string json = *readFile(kHere + "small_tokenizer.json");
  while (json.back() != '}')
    json.pop_back();
  ASSERT_TRUE(load(json));
  for (size_t size = 0; size < json.size(); ++size) {
    Status status = load(json.substr(0, size));
    ASSERT_EQ(status.code(), StatusCode::InvalidInput) << size;
    ASSERT_EQ(status.message().rfind("not valid JSON at byte ", 0), 0u) << status.message();
    ASSERT_EQ(status.message().find('\n'), std::string::npos);
  }
}

TEST(TokenizerErrors, DuplicatedVocabularyEntry) {
  std::string json = *readFile(kHere + "small_tokenizer.json");
  json.insert(json.find("\"vocab\":{") + 9, "\"a\":500,");
  EXPECT_EQ(load(json).message(), "model.vocab[\"a\"]: appears twice");
}

TEST(TokenizerErrors, ByteWithoutToken) {
  Json file = readJson(kHere + "small_tokenizer.json");
  file["model"]["vocab"].erase("~");
  auto tokenizer = Tokenizer::fromJson(file.dump());
  ASSERT_TRUE(tokenizer) << tokenizer.status().message();
  auto ids = tokenizer->encode("a~b");
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.status().message(), "the vocabulary has no token for byte 0x7E");
  EXPECT_TRUE(tokenizer->encode("ab")) << "usable after an error";
}

} // namespace
