#include "spillway/core/gateway.h"

#include <gtest/gtest.h>

#include "spillway/core/env/sim_env.h"

namespace spillway::core {
namespace {

void write_gateway(env::SimEnv& env, std::string_view text) {
  ASSERT_TRUE(env.make_directories("/spill"));
  ASSERT_TRUE(env::replace_file(env, "/spill/gateway", std::as_bytes(std::span(text))));
}

TEST(Gateway, id_is_made_once_and_stays) {
  env::SimEnv env(1);
  EXPECT_EQ(load_gateway(env, "/spill").error().code, ErrorCode::kNotFound);
  const Gateway made = claim_gateway(env, "/spill", "machine-a").value();
  EXPECT_FALSE(made.id.is_nil());
  EXPECT_TRUE(made.cloned_from.is_nil());
  EXPECT_EQ(claim_gateway(env, "/spill", "machine-a").value().id, made.id);
  EXPECT_EQ(load_gateway(env, "/spill").value().id, made.id);
}

TEST(Gateway, id_survives_every_power_cut_once_claimed) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    env::SimEnv env(seed);
    const Gateway made = claim_gateway(env, "/spill", "machine-a").value();
    env.restart_after_power_cut();
    ASSERT_EQ(claim_gateway(env, "/spill", "machine-a").value().id, made.id) << seed;
  }
}

TEST(Gateway, copy_on_another_machine_takes_a_new_id_and_names_the_old_one) {
  env::SimEnv env(1);
  const Gateway original = claim_gateway(env, "/spill", "machine-a").value();
  const Gateway copy = claim_gateway(env, "/spill", "machine-b").value();
  EXPECT_NE(copy.id, original.id);
  EXPECT_EQ(copy.cloned_from, original.id);
  const Gateway again = claim_gateway(env, "/spill", "machine-b").value();
  EXPECT_EQ(again.id, copy.id);
  EXPECT_EQ(load_gateway(env, "/spill").value().cloned_from, original.id);
}

TEST(Gateway, machine_without_an_id_is_never_taken_for_a_clone) {
  env::SimEnv env(1);
  const Gateway made = claim_gateway(env, "/spill", "").value();
  EXPECT_EQ(claim_gateway(env, "/spill", "").value().id, made.id);
  EXPECT_EQ(claim_gateway(env, "/spill", "machine-a").value().id, made.id);
  EXPECT_EQ(claim_gateway(env, "/spill", "").value().id, made.id);
  EXPECT_NE(claim_gateway(env, "/spill", "machine-b").value().id, made.id);
}

TEST(Gateway, machine_id_itself_is_not_written_down) {
  env::SimEnv env(1);
  ASSERT_TRUE(claim_gateway(env, "/spill", "secret-machine"));
  const auto bytes = env::read_file(env, "/spill/gateway", 4096).value();
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  EXPECT_EQ(text.find("secret"), std::string::npos);
  EXPECT_NE(text.find("machine = "), std::string::npos);
}

TEST(Gateway, damaged_file_is_refused_and_left_alone) {
  const std::string id = "id = 01234567-89ab-4def-8123-456789abcdef";
  for (const std::string& text :
       {std::string(""), id, id + "\nrubbish\n", std::string("id = 1\n"), std::string("\n"),
        std::string("cloned_from = 01234567-89ab-4def-8123-456789abcdef\n")}) {
    env::SimEnv env(1);
    write_gateway(env, text);
    const auto claimed = claim_gateway(env, "/spill", "machine-a");
    ASSERT_FALSE(claimed.has_value()) << text;
    EXPECT_EQ(claimed.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(env::read_file(env, "/spill/gateway", 4096).value().size(), text.size());
  }
}

}  // namespace
}  // namespace spillway::core
