// PostgreSQL's replication messages: what they say, and that whatever bytes come harm nobody.
#include "edge-agent/ingest/capture/postgres/pgoutput.h"

#include <gtest/gtest.h>

#include <random>

namespace spillway::agent::capture {
namespace {

/// Builds messages as the protocol's documentation lays them out.
class Message {
 public:
  explicit Message(char kind) { bytes_ += kind; }
  template <typename T>
  Message& number(T value) {
    for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) {
      bytes_ += static_cast<char>(static_cast<std::uint64_t>(value) >> shift & 0xFF);
    }
    return *this;
  }
  Message& text(const std::string& text) {
    bytes_ += text;
    bytes_ += '\0';
    return *this;
  }
  Message& mark(char mark) {
    bytes_ += mark;
    return *this;
  }
  Message& value(const std::string& text) {
    mark('t').number(static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
    return *this;
  }
  [[nodiscard]] std::span<const char> span() const { return bytes_; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

Message begin(std::uint64_t lsn) {
  return Message('B').number(lsn).number(std::uint64_t{5}).number(std::uint32_t{77});
}
Message commit(std::uint64_t lsn) {
  return Message('C').number(std::uint8_t{0}).number(lsn).number(lsn + 48).number(std::uint64_t{5});
}
Message orders(char identity = 'f') {
  return Message('R')
      .number(std::uint32_t{1})
      .text("public")
      .text("orders")
      .mark(identity)
      .number(std::uint16_t{2})
      .number(std::uint8_t{1})
      .text("id")
      .number(std::uint32_t{20})
      .number(std::uint32_t{0})
      .number(std::uint8_t{identity == 'f'})
      .text("note")
      .number(std::uint32_t{25})
      .number(std::uint32_t{0});
}
Message insert(const std::string& id, const std::string& note) {
  return Message('I')
      .number(std::uint32_t{1})
      .mark('N')
      .number(std::uint16_t{2})
      .value(id)
      .value(note);
}

class PgOutputTest : public ::testing::Test {
 protected:
  PgOutputTest()
      : output_([](std::uint32_t) { return core::Result<std::set<std::string>>({"id"}); },
                [](const std::string&, const std::string& table) { return table; }) {}

  void take(const Message& message) {
    const auto taken = output_.take(message.span(), changes_);
    ASSERT_TRUE(taken) << taken.error().message;
  }

  PgOutput output_;
  std::vector<Change> changes_;
};

TEST_F(PgOutputTest, ATransactionsLastChangeSaysSo) {
  take(begin(0x100));
  take(orders());
  take(insert("1", "a"));
  take(insert("2", "b"));
  take(commit(0x100));
  ASSERT_EQ(changes_.size(), 3U);  // the table's columns first
  EXPECT_EQ(changes_[0].operation, change::Operation::schema);
  EXPECT_EQ(changes_[0].key, (Key{0x100, 0, 0}));
  EXPECT_EQ(changes_[1].key, (Key{0x100, 1, 0}));
  EXPECT_EQ(changes_[2].key, (Key{0x100, 3, 0}));
  EXPECT_FALSE(changes_[1].transaction_end);
  EXPECT_TRUE(changes_[2].transaction_end);
  EXPECT_EQ(changes_[2].new_values[0].integer, 2);
  const auto commits = output_.take_commits();
  ASSERT_EQ(commits.size(), 1U);
  EXPECT_EQ(commits[0].last, changes_[2].key);
  EXPECT_EQ(commits[0].end_lsn, 0x130U);
}

TEST_F(PgOutputTest, TheSameTransactionHasTheSameKeysWhenItIsSentAgain) {
  for (int i = 0; i < 2; ++i) {
    changes_.clear();
    output_.restart();
    take(begin(0x100));
    take(orders());
    take(insert("1", "a"));
    take(commit(0x100));
    ASSERT_EQ(changes_.size(), 2U);
    EXPECT_EQ(changes_[1].key, (Key{0x100, 1, 0}));
  }
}

TEST_F(PgOutputTest, AnUpdateHasItsOldRowAndWhatItDidNotTouch) {
  take(begin(0x100));
  take(orders());
  take(Message('U')
           .number(std::uint32_t{1})
           .mark('O')
           .number(std::uint16_t{2})
           .value("1")
           .value("large")
           .mark('N')
           .number(std::uint16_t{2})
           .value("2")
           .mark('u'));
  take(commit(0x100));
  const Change& update = changes_.at(1);
  EXPECT_EQ(update.key_values.at(0).integer, 1);
  EXPECT_EQ(update.old_values.at(1).bytes, "large");
  EXPECT_EQ(update.new_values.at(0).integer, 2);
  EXPECT_EQ(update.new_values.at(1).bytes, "large");
}

TEST_F(PgOutputTest, WithoutTheOldRowAnUntouchedValueSaysThatItIs) {
  take(begin(0x100));
  take(orders('d'));
  take(Message('U')
           .number(std::uint32_t{1})
           .mark('N')
           .number(std::uint16_t{2})
           .value("1")
           .mark('u'));
  take(commit(0x100));
  EXPECT_EQ(changes_.at(1).new_values.at(1).kind, change::Kind::unchanged);
  EXPECT_TRUE(changes_.at(1).old_values.empty());
}

TEST_F(PgOutputTest, ADeleteAndATruncateNameTheirTable) {
  take(begin(0x100));
  take(orders('d'));
  take(Message('D')
           .number(std::uint32_t{1})
           .mark('K')
           .number(std::uint16_t{2})
           .value("4")
           .mark('n'));
  take(Message('T').number(std::uint32_t{1}).number(std::uint8_t{0}).number(std::uint32_t{1}));
  take(commit(0x100));
  EXPECT_EQ(changes_.at(1).operation, change::Operation::delete_);
  EXPECT_EQ(changes_.at(1).key_values.at(0).integer, 4);
  EXPECT_EQ(changes_.at(2).operation, change::Operation::truncate);
  EXPECT_EQ(changes_.at(2).table, "orders");
}

TEST_F(PgOutputTest, ValuesAreExact) {
  EXPECT_EQ(value_of_text("c", 20, "-9223372036854775808").integer, INT64_MIN);
  EXPECT_EQ(value_of_text("c", 701, "0.1").real, 0.1);
  EXPECT_EQ(value_of_text("c", 17, "\\x00ff").bytes, std::string("\0\xFF", 2));
  EXPECT_EQ(value_of_text("c", 16, "t").integer, 1);
  EXPECT_EQ(value_of_text("c", 1700, "12345678901234567890.000").bytes, "12345678901234567890.000");
  EXPECT_EQ(value_of_text("c", 20, "12x").kind, change::Kind::text) << "as it came";
}

TEST_F(PgOutputTest, CutOffMessagesAreRefused) {
  for (const Message& whole : {begin(0x100), orders(), insert("1", "a")}) {
    for (std::size_t size = 0; size < whole.bytes().size(); ++size) {
      PgOutput output([](std::uint32_t) { return core::Result<std::set<std::string>>({}); },
                      [](const std::string&, const std::string& table) { return table; });
      std::vector<Change> changes;
      ASSERT_TRUE(output.take(begin(1).span(), changes));
      if (whole.bytes()[0] == 'I') {
        ASSERT_TRUE(output.take(orders().span(), changes));
      }
      EXPECT_FALSE(output.take(whole.span().first(size), changes)) << size;
    }
  }
}

TEST_F(PgOutputTest, RandomBytesHarmNobody) {
  std::mt19937 random(7);
  const std::vector<Message> good{begin(0x100), orders(), insert("1", "a"), commit(0x100)};
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good[random() % good.size()].bytes();
    for (int flips = 0; flips < 3; ++flips)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    static_cast<void>(output_.take(bytes, changes_));
    changes_.clear();
  }
}

}  // namespace
}  // namespace spillway::agent::capture
