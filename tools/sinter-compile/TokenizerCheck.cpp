//===- TokenizerCheck.cpp -------------------------------------------------===//
#include "TokenizerCheck.h"

#include "runtime/text/ChatTemplate.h"
#include "runtime/text/Tokenizer.h"

#include <string>

using namespace sinter;

Status sinter::checkTokenizer(std::string_view json, int64_t vocab) {
  const Result<Tokenizer> tokenizer = Tokenizer::fromJson(json);
  if (!tokenizer)
    return tokenizer.status().withContext("tokenizer.json");
  if (tokenizer->vocabSize() > vocab)
    return invalidInput("tokenizer.json: token id " + std::to_string(tokenizer->vocabSize() - 1) +
                        " is outside config.json's vocab_size of " + std::to_string(vocab));
  return Status::ok();
}

Status sinter::checkChatTemplate(std::string_view jinja) {
  if (jinja.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return invalidInput("the chat template is empty");
  const Result<ChatTemplate> parsed = ChatTemplate::parse(jinja);
  if (!parsed && parsed.status().code() == StatusCode::InvalidInput)
    return parsed.status();
  return Status::ok();
}
