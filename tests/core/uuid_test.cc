#include "spillway/core/uuid.h"

#include <gtest/gtest.h>

namespace spillway::core {
namespace {

TEST(Uuid, text_and_parse_are_inverse) {
  const std::string text = "01234567-89ab-4def-8123-456789abcdef";
  const auto uuid = Uuid::parse(text);
  ASSERT_TRUE(uuid);
  EXPECT_EQ(uuid->text(), text);
  EXPECT_EQ(uuid->bytes[0], 0x01);
  EXPECT_EQ(uuid->bytes[15], 0xEF);
}

TEST(Uuid, random_one_has_version_4_and_the_rfc_variant) {
  EXPECT_EQ(Uuid::from_random(0, 0).text(), "00000000-0000-4000-8000-000000000000");
  EXPECT_EQ(Uuid::from_random(UINT64_MAX, UINT64_MAX).text(),
            "ffffffff-ffff-4fff-bfff-ffffffffffff");
  EXPECT_EQ(Uuid::from_random(0x0123'4567'89AB'CDEF, 1).text(),
            "01234567-89ab-4def-8000-000000000001");
}

TEST(Uuid, parse_takes_nothing_but_the_one_form) {
  for (const char* text :
       {"", "0123456789ab4def8123456789abcdef", "01234567-89ab-4def-8123-456789abcde",
        "01234567-89ab-4def-8123-456789abcdef0", "01234567-89ab-4def-8123-456789abcdeg",
        "{1234567-89ab-4def-8123-456789abcde}", "012345678-9ab-4def-8123-456789abcdef"}) {
    EXPECT_FALSE(Uuid::parse(text)) << text;
  }
}

TEST(Uuid, nil_is_known_as_such) {
  EXPECT_TRUE(Uuid{}.is_nil());
  EXPECT_FALSE(Uuid::from_random(0, 0).is_nil());
}

}  // namespace
}  // namespace spillway::core
