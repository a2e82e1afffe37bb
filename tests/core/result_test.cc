#include "spillway/core/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace spillway::core {
namespace {

TEST(Result, exit_codes_part_no_from_wrong_use_from_a_failed_system) {
  EXPECT_EQ(exit_code_of({ErrorCode::kNotFound, ""}), 1);
  EXPECT_EQ(exit_code_of({ErrorCode::kCorrupt, ""}), 1);
  EXPECT_EQ(exit_code_of({ErrorCode::kInvalidArgument, ""}), 2);
  EXPECT_EQ(exit_code_of({ErrorCode::kPermission, ""}), 3);
  EXPECT_EQ(exit_code_of({ErrorCode::kIo, ""}), 3);
}

TEST(Result, errno_becomes_a_code_and_one_line) {
  const Error error = fail_errno(ENOENT, "opening /x").value();
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error.message, "opening /x: No such file or directory");
  EXPECT_EQ(fail_errno(ENOSPC, "").value().code, ErrorCode::kFull);
  EXPECT_EQ(fail_errno(EACCES, "").value().code, ErrorCode::kPermission);
  EXPECT_EQ(fail_errno(EIO, "").value().code, ErrorCode::kIo);
}

Result<int> half(int value) {
  if (value % 2 != 0) return fail(ErrorCode::kInvalidArgument, "odd");
  return value / 2;
}
Result<int> quarter(int value) {
  SPILLWAY_TRY(once, half(value));
  SPILLWAY_TRY(twice, half(once));
  return twice;
}

TEST(Result, try_hands_on_the_first_error) {
  EXPECT_EQ(quarter(12).value(), 3);
  EXPECT_EQ(quarter(6).error().message, "odd");
}

}  // namespace
}  // namespace spillway::core
