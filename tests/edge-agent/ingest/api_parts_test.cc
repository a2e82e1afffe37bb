#include <gtest/gtest.h>

#include "edge-agent/ingest/api/answer_book.h"
#include "edge-agent/ingest/api/body.h"
#include "edge-agent/ingest/api/schema_change.h"
#include "edge-agent/ingest/api/schema_store.h"
#include "edge-agent/ingest/api/topic_schema.h"

namespace spillway::agent::api {
namespace {

Bytes compiled(const std::string& text) {
  auto bfbs = compile_schema(std::as_bytes(std::span(text)));
  EXPECT_TRUE(bfbs) << bfbs.error().message;
  return bfbs ? *bfbs : Bytes();
}

std::string change(const std::string& before, const std::string& after) {
  return why_incompatible(compiled(before + "root_type T;"), compiled(after + "root_type T;"))
      .value_or("");
}

TEST(SchemaChange, what_readers_of_both_understand_is_allowed) {
  EXPECT_EQ(change("table T { a:int; }", "table T { a:int; b:string; }"), "");
  EXPECT_EQ(change("table T { a:int; b:int; }", "table T { a:int (deprecated); b:int; }"), "");
  EXPECT_EQ(
      change("table T { a:int; }", "struct S { x:int; } table U { s:S; } table T { a:int; u:U; }"),
      "");
  EXPECT_EQ(change("enum E:byte { A } table T { e:E; }", "enum E:byte { A, B } table T { e:E; }"),
            "");
}

TEST(SchemaChange, what_breaks_a_reader_is_named) {
  const auto breaks = [](const std::string& before, const std::string& after,
                         const std::string& what) { EXPECT_EQ(change(before, after), what); };
  breaks("table T { a:int; }", "table T { b:int; }",
         "table T: field a is gone: mark it (deprecated) instead");
  breaks("table T { a:int; b:int; }", "table T { b:int; a:int; }",
         "table T: field a has another place: new fields go behind the old ones");
  breaks("table T { a:int; }", "table T { a:long; }", "table T: field a was Int and is now Long");
  breaks("table T { a:[int]; }", "table T { a:[string]; }",
         "table T: field a was [Int] and is now [String]");
  breaks("table T { a:int; }", "table T { a:int = 5; }", "table T: field a has another default");
  breaks("table T { a:int; }", "table T { a:int; s:string (required); }",
         "table T: the new field s is required, which old records do not have");
  breaks("struct S { x:int; } table T { s:S; }", "struct S { x:int; y:int; } table T { s:S; }",
         "struct S has changed: a struct never may");
  breaks("enum E:byte { A, B } table T { e:E; }", "enum E:byte { B, A } table T { e:E; }",
         "enum E: value A has another number");
  breaks("table U {} table T { a:int; }", "table T { a:int; }", "table U is gone");
}

TEST(TopicSchema, a_broken_binary_schema_is_refused_whatever_byte_is_broken) {
  const Bytes good = compiled(
      "struct S { a:byte; b:double; c:[int:3]; } enum E:byte { A, B } table X { y:int; } union U { "
      "X }"
      "table T { s:S; e:E; u:U; v:[X]; n:string (required); } root_type T;");
  int refused = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const std::byte mask : {std::byte{0x01}, std::byte{0x80}, std::byte{0xFF}}) {
      Bytes bad = good;
      bad[i] ^= mask;
      if (const auto bfbs = compile_schema(bad); !bfbs) {
        ++refused;
      } else if (const auto schema = TopicSchema::make(*bfbs)) {
        // What passes can be worked with.
        static_cast<void>(
            (*schema)->build(R"({"n":"x","e":"B","s":{"a":1,"b":2,"c":[1,2,3]},"v":[{"y":1}]})"));
      }
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(Body, braces_in_strings_and_escapes_do_not_part_records) {
  const auto texts = split_body(BodyKind::kJson, R"( [ {"a":"}\"{"} , {"b":{"c":"\\"}} ] )", 10);
  ASSERT_TRUE(texts) << texts.error().message;
  ASSERT_EQ(texts->size(), 2U);
  EXPECT_EQ((*texts)[0], R"({"a":"}\"{"})");
  EXPECT_EQ((*texts)[1], R"({"b":{"c":"\\"}})");
  EXPECT_TRUE(split_body(BodyKind::kJson, "[]", 1)->empty());
  for (const char* wrong : {"[{}", "[{},]", "{}}", "[{}]]", "{\"", "[", "1", "", "[{} {}]"}) {
    EXPECT_FALSE(split_body(BodyKind::kJson, wrong, 10)) << wrong;
  }
}

TEST(SchemaStore, topics_and_file_names_go_over_into_each_other) {
  for (const std::string topic : {"a/b", "..", "%", "\xC3\xA4/\x01", "A-Z_0"}) {
    EXPECT_EQ(unescape(escape(topic)), topic);
    EXPECT_EQ(escape(topic).find('/'), std::string::npos);
    EXPECT_EQ(escape(topic).find('.'), std::string::npos);
  }
  EXPECT_FALSE(unescape("%G0"));
  EXPECT_FALSE(unescape("%1"));
}

TEST(AnswerBook, remembers_so_many_and_so_long) {
  AnswerBook book(2, 100);
  const auto none = [](const Answer&) {};
  EXPECT_EQ(book.claim("a", 1, 1, none, 0), AnswerBook::Claim::kFirst);
  EXPECT_EQ(book.claim("b", 1, 2, none, 0), AnswerBook::Claim::kFirst);
  EXPECT_EQ(book.claim("c", 1, 3, none, 0), AnswerBook::Claim::kFull) << "both are in flight";
  book.settle("a", {}, true, 10);
  EXPECT_EQ(book.claim("a", 1, 4, none, 20), AnswerBook::Claim::kKnown);
  EXPECT_EQ(book.claim("c", 1, 5, none, 20), AnswerBook::Claim::kFirst)
      << "the answered one gives way";
  EXPECT_EQ(book.claim("a", 1, 6, none, 20), AnswerBook::Claim::kFull);
  book.settle("b", {}, true, 30);
  book.settle("c", {}, false, 30);
  EXPECT_EQ(book.claim("b", 1, 7, none, 129), AnswerBook::Claim::kKnown);
  EXPECT_EQ(book.claim("b", 1, 8, none, 130), AnswerBook::Claim::kFirst) << "its time is over";
}

}  // namespace
}  // namespace spillway::agent::api
