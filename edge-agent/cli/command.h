// What the commands of `spillway` share: how they register, find directories, and say what went
// wrong.
//
// Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 the system failed.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "spillway/core/config.h"
#include "spillway/core/result.h"

namespace spillway::cli {

inline constexpr int kDone = 0;
inline constexpr int kNo = 1;
inline constexpr int kWrongUse = 2;
inline constexpr int kSystemFailed = 3;

// Each adds its subcommand; when that one is chosen its callback runs the command and stores the
// exit code.
void add_run_command(CLI::App& app, int& exit_code);
void add_put_command(CLI::App& app, int& exit_code);
void add_tail_command(CLI::App& app, int& exit_code);
void add_status_command(CLI::App& app, int& exit_code);
void add_verify_command(CLI::App& app, int& exit_code);
void add_dead_command(CLI::App& app, int& exit_code);
void add_plan_command(CLI::App& app, int& exit_code);
void add_torture_command(CLI::App& app, int& exit_code);
void add_config_command(CLI::App& app, int& exit_code);
void add_sink_command(CLI::App& app, int& exit_code);

/// "spillway: MESSAGE" on standard error; returns the exit code that fits.
int report(const core::Error& error);
int report(int exit_code, const std::string& message);

/// --config, --queue-dir and --spill-dir of commands that look at a gateway: what is given counts,
/// then the configuration, then the defaults.
struct Directories {
  std::string config_path;
  std::string queue_dir;
  std::string spill_dir;

  void add_options(CLI::App& command);
  [[nodiscard]] core::Result<core::Config> load() const;
};

}  // namespace spillway::cli
