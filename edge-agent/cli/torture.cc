#include "edge-agent/cli/torture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <random>

#include "edge-agent/cli/torture_writer.h"
#include "spillway/core/env/posix_env.h"
#include "spillway/core/repair.h"
#include "spillway/core/stream_reader.h"

namespace spillway::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRoundMsMax = 400;
constexpr std::uint64_t kRotEvery = 4;     // rounds
constexpr std::uint64_t kSwitchEvery = 6;  // rounds with an uplink, then as many without
constexpr std::uint64_t kBitsMax = 3;
constexpr std::uint64_t kDiskBytesMin = 32 << 20;
constexpr std::uint64_t kSyncSamplesMax = 1 << 20;

class Torture {
 public:
  Torture(const TortureOptions& options, std::string folder)
      : options_(options), folder_(std::move(folder)), random_(options.seed) {}

  core::Result<TortureReport> run(const std::atomic<bool>& stop);

 private:
  core::Result<void> kill_round();
  void listen(int pipe_fd, std::uint64_t until_ns);
  bool take_report(int pipe_fd);
  void check_stream();
  core::Result<void> rot_round();
  void flip_bits();
  core::Result<std::uint64_t> read_all(const std::string& directory, bool damaged);
  void check_gap(const core::Gap& gap, std::uint64_t oldest, bool damaged);
  void check_block(const core::Block& block);
  void fail(std::string what) { report_.failures.push_back(std::move(what)); }
  [[nodiscard]] bool acknowledges() const { return report_.kills / kSwitchEvery % 2 == 1; }

  TortureOptions options_;
  std::string folder_;
  std::mt19937_64 random_;
  TortureReport report_;
  WriterReport told_;  // the furthest of each
};

core::Result<TortureReport> Torture::run(const std::atomic<bool>& stop) {
  auto& env = core::env::posix_env();
  const std::uint64_t end_ns = env.boottime_ns() + options_.duration_ns;
  while (!stop && report_.failures.empty() && env.boottime_ns() < end_ns) {
    SPILLWAY_CHECKED(kill_round());
    check_stream();
    if (report_.failures.empty() && report_.kills % kRotEvery == 0) SPILLWAY_CHECKED(rot_round());
  }
  report_.records_appended = told_.next_offset;
  std::sort(report_.sync_ns.begin(), report_.sync_ns.end());
  return std::move(report_);
}

core::Result<void> Torture::kill_round() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return core::fail_errno(errno, "making a pipe");
  const pid_t writer = ::fork();
  if (writer < 0) return core::fail_errno(errno, "starting a writer");
  if (writer == 0) {
    ::close(ends[0]);
    ::signal(SIGINT, SIG_IGN);  // the parent decides
    const auto error =
        run_writer(torture_stream(folder_, acknowledges()), options_.seed, report_.kills, ends[1]);
    std::cerr << "spillway torture: the writer failed: " << error.message << std::endl;
    ::_exit(1);
  }
  ::close(ends[1]);
  const std::uint64_t life_ns = (1 + random_() % kRoundMsMax) * 1'000'000;
  listen(ends[0], core::env::posix_env().boottime_ns() + life_ns);
  ::kill(writer, SIGKILL);
  while (take_report(ends[0])) {  // what it said before it died
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(writer, &status, 0);
  ++report_.kills;
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
    fail("round " + std::to_string(report_.kills) + ": the writer ended by itself");
  }
  return {};
}

void Torture::listen(int pipe_fd, std::uint64_t until_ns) {
  auto& env = core::env::posix_env();
  while (true) {
    const std::uint64_t now = env.boottime_ns();
    if (now >= until_ns) return;
    pollfd waits{pipe_fd, POLLIN, 0};
    if (::poll(&waits, 1, static_cast<int>((until_ns - now) / 1'000'000) + 1) <= 0) continue;
    if (!take_report(pipe_fd)) return;
  }
}

bool Torture::take_report(int pipe_fd) {
  WriterReport report;
  if (::read(pipe_fd, &report, sizeof(report)) != static_cast<ssize_t>(sizeof(report)))
    return false;
  told_.next_offset = std::max(told_.next_offset, report.next_offset);
  told_.durable_offset = std::max(told_.durable_offset, report.durable_offset);
  told_.acked_offset = std::max(told_.acked_offset, report.acked_offset);
  const bool timed = report.sync_ns != 0 && report_.sync_ns.size() < kSyncSamplesMax;
  if (timed) report_.sync_ns.push_back(report.sync_ns);
  return true;
}

/// Everything that was reported process-safe must be there, or dropped and written down.
void Torture::check_stream() {
  const auto next = read_all(torture_stream(folder_, false).directory, false);
  if (!next) {
    fail("reading: " + next.error().message);
  } else if (*next < told_.next_offset) {
    fail("records from offset " + std::to_string(*next) + " are gone; process-safe up to " +
         std::to_string(told_.next_offset) + ", power-safe up to " +
         std::to_string(told_.durable_offset));
  }
}

core::Result<std::uint64_t> Torture::read_all(const std::string& directory, bool damaged) {
  auto& env = core::env::posix_env();
  if (!fs::exists(directory)) return std::uint64_t{0};  // killed before it had made anything
  SPILLWAY_TRY(reader, core::StreamReader::open(env, directory));
  SPILLWAY_TRY(oldest, reader->oldest_offset());
  SPILLWAY_CHECKED(reader->seek(0));
  std::uint64_t at = 0;
  while (true) {
    SPILLWAY_TRY(item, reader->next());
    if (!item) return reader->position();
    if (const auto* gap = std::get_if<core::Gap>(&*item)) {
      if (gap->first_offset != at) fail("a gap that does not begin where the last block ended");
      check_gap(*gap, oldest, damaged);
    } else {
      const auto& block = std::get<core::Block>(*item);
      if (block.header.count() != 0 && block.header.base_offset() != at) {
        fail("a block at offset " + std::to_string(block.header.base_offset()) + " where " +
             std::to_string(at) + " comes next");
      }
      check_block(block);
    }
    at = reader->position();
  }
}

void Torture::check_gap(const core::Gap& gap, std::uint64_t oldest, bool damaged) {
  const bool at_the_front = gap.next_offset <= oldest;
  const bool dropped = at_the_front && gap.reason == format::GapReason::quota;
  const bool released = at_the_front && gap.reason == format::GapReason::none &&
                        gap.next_offset <= told_.acked_offset;
  if (!damaged) report_.records_dropped = std::max(report_.records_dropped, gap.next_offset);
  if (dropped || released || damaged) return;
  fail("offsets " + std::to_string(gap.first_offset) + " to " + std::to_string(gap.next_offset) +
       " are missing: " + std::string(core::name_of(gap.reason)));
}

void Torture::check_block(const core::Block& block) {
  if (block.header.kind() != static_cast<std::uint8_t>(format::BlockKind::data)) return;
  core::FrameCursor frames(block.stored);
  core::FrameView frame;
  std::uint64_t offset = block.header.base_offset();
  while (frames.next(frame)) {
    const auto right = torture_record(options_.seed, offset);
    if (!std::equal(frame.record.begin(), frame.record.end(), right.begin(), right.end())) {
      fail("offset " + std::to_string(offset) + " holds another record");
    }
    ++offset;
    ++report_.records_read;
  }
}

/// Bits decay in a copy: what it still gives is right, the rest is named, and a repair makes it good.
core::Result<void> Torture::rot_round() {
  const std::string from = torture_stream(folder_, false).directory;
  const std::string copy = folder_ + "/copy";
  std::error_code error;
  fs::remove_all(copy, error);
  fs::copy(from, copy, fs::copy_options::recursive, error);
  if (error) return core::fail_errno(error.value(), "copying " + from + " to " + copy);
  flip_bits();
  SPILLWAY_CHECKED(read_all(copy, true));
  SPILLWAY_TRY(repaired, core::repair_stream(core::env::posix_env(), copy, {}));
  report_.repairs += repaired.segments.size();
  if (!repaired.after.ok()) fail("a repair that left damage behind: " + copy);
  SPILLWAY_CHECKED(read_all(copy, true));
  if (report_.failures.empty()) fs::remove_all(copy, error);
  return {};
}

void Torture::flip_bits() {
  std::vector<fs::path> segments;
  for (const auto& entry : fs::directory_iterator(folder_ + "/copy")) {
    const std::string name = entry.path().filename();
    if (name.ends_with(".spill") && name[0] >= '0' && name[0] <= '9') segments.push_back(entry);
  }
  std::sort(segments.begin(), segments.end());
  if (segments.size() < 2) return;
  segments.pop_back();  // the newest is not sealed
  for (std::uint64_t i = 0; i <= random_() % kBitsMax; ++i) {
    const int fd = ::open(segments[random_() % segments.size()].c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    unsigned char byte = 0;
    const auto at =
        static_cast<off_t>(random_() % static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_END)));
    if (::pread(fd, &byte, 1, at) == 1) {
      byte = static_cast<unsigned char>(byte ^ 1U << random_() % 8);
      if (::pwrite(fd, &byte, 1, at) == 1) ++report_.bits_flipped;
    }
    ::close(fd);
  }
}

core::Result<std::string> make_folder(const TortureOptions& options) {
  std::error_code error;
  const auto space = fs::space(options.directory, error);
  if (error) return core::fail_errno(error.value(), "looking at " + options.directory);
  if (space.available < kDiskBytesMin) {
    return core::fail(core::ErrorCode::kFull, options.directory + " has less than " +
                                                  std::to_string(kDiskBytesMin >> 20) +
                                                  " MiB free: make room, or give another one");
  }
  std::string folder = options.directory + "/spillway-torture-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) {
    return core::fail_errno(errno, "making a folder in " + options.directory);
  }
  return folder;
}

}  // namespace

core::Result<TortureReport> torture(const TortureOptions& options, const std::atomic<bool>& stop) {
  SPILLWAY_TRY(folder, make_folder(options));
  auto report = Torture(options, folder).run(stop);
  std::error_code ignored;
  if (report && report->failures.empty()) {
    fs::remove_all(folder, ignored);
  } else if (report) {
    report->kept_directory = folder;
  }
  return report;
}

}  // namespace spillway::cli
