# Writes OUT, a source file whose one constant is the text of PAGE. Literals are limited in length by
# some compilers, so the text goes in as bytes.
file(READ ${PAGE} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "char(0x\\1)," bytes "${bytes}")
string(REGEX REPLACE "(char\\(0x..\\),char\\(0x..\\),char\\(0x..\\),char\\(0x..\\),char\\(0x..\\),char\\(0x..\\),char\\(0x..\\),char\\(0x..\\),)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"runtime/server/ChatPage.h\"\n
static const char kBytes[] = {\n${bytes}};
const std::string_view sinter::kChatPage(kBytes, sizeof kBytes);\n")
