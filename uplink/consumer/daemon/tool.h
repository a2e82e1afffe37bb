// What the commands of spillway-consumer share: how they register, find the inbox, and say what went
// wrong.
//
// Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 the system failed.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "spillway/core/config.h"
#include "spillway/core/result.h"
#include "uplink/consumer/daemon/inbox_choice.h"

namespace spillway::consumer::tool {

inline constexpr int kDone = 0;
inline constexpr int kNo = 1;
inline constexpr int kWrongUse = 2;
inline constexpr int kSystemFailed = 3;

// Each adds its subcommands; the one that is chosen runs in its callback and stores the exit code.
// `config` is --config, of which all have need.
void add_gateway_command(CLI::App& app, const std::string& config, int& exit_code);
void add_dead_command(CLI::App& app, const std::string& config, int& exit_code);
/// The daemon.
[[nodiscard]] int run_consumer(const std::string& config);

/// "spillway-consumer: MESSAGE" on standard error; returns the exit code that fits.
int report(const core::Error& error);
int report(int exit_code, const std::string& message);

/// kInvalidArgument without [consumer].
[[nodiscard]] core::Result<core::Config> load_with_consumer(const std::string& config);
[[nodiscard]] core::Result<core::ConsumerConfig> load_consumer(const std::string& config);
/// The inbox that [consumer] names.
[[nodiscard]] core::Result<InboxChoice> load_inbox_choice(const std::string& config);

/// "2026-11-28T02:42:52Z"; "-" for 0.
[[nodiscard]] std::string utc_text(std::uint64_t utc_ns);

}  // namespace spillway::consumer::tool
