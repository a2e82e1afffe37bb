// The lane fuzzer: a program of writes by the owner of a hostile lane, run against the real reader
// and the real drain, with an honest lane beside it. What it shows: no crash, no read outside a
// lane, no hang, and every record of the honest lane in the spill, once and in order.
//
// Instructions also run between the walk over the hostile lane and the copy into the spill, where a
// drain that trusted its first look would be caught. Built with libFuzzer, or with replay.cc for any
// compiler.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <functional>

#include "edge-agent/drain/drain.h"
#include "spillway/core/env/sim_env.h"
#include "spillway/core/stream_reader.h"
#include "spillway/producer.h"
#include "tests/fuzz/hostile_lane.h"

namespace spillway::fuzz {
namespace {

constexpr int kInstructionsMax = 200;
constexpr int kMeddlingsMax = 8;
constexpr int kRestartsMax = 8;
constexpr int kLastSteps = 12;
constexpr std::uint64_t kLastStepNs = 400'000'000;  // retries come every second
constexpr const char* kSpill = "/spill/s";

[[noreturn]] void broken(const char* promise) {
  std::fprintf(stderr, "lane_fuzzer: broken: %s\n", promise);
  std::abort();
}
void check(bool holds, const char* promise) {
  if (!holds) broken(promise);
}

/// Somewhere in memory, for as long as the process lives.
const std::string& folder() {
  static const struct Folder {
    Folder() {
      std::string pattern = "/dev/shm/spillway-fuzz-XXXXXX";
      check(::mkdtemp(pattern.data()) != nullptr, "a folder in /dev/shm");
      std::filesystem::create_directories(pattern + "/lanes");
      path = pattern;
    }
    ~Folder() {
      std::error_code none;
      std::filesystem::remove_all(path, none);
    }
    std::string path;
  } made;
  return made.path;
}

/// The real reader; the enemy acts behind each walk.
class MeddledReader final : public shm::LaneReader {
 public:
  MeddledReader(std::unique_ptr<LaneReader> inner, std::function<void()> meddle)
      : inner_(std::move(inner)), meddle_(std::move(meddle)) {}

  const std::string& path() const override { return inner_->path(); }
  const format::LaneIdentity& identity() const override { return inner_->identity(); }
  std::uint64_t capacity() const override { return inner_->capacity(); }
  core::Result<void> resume(std::uint64_t end) override { return inner_->resume(end); }
  shm::Walk walk(std::uint64_t bytes_max) override {
    const shm::Walk walk = inner_->walk(bytes_max);
    check(walk.frames.size() <= capacity(), "a walk stays within its lane");
    check(walk.lane_end - position() <= capacity(), "a walk is no longer than a lap");
    meddle_();
    return walk;
  }
  void consume(std::uint64_t lane_end) override { inner_->consume(lane_end); }
  void refuse(std::uint64_t lane_end) override { inner_->refuse(lane_end); }
  void set_durable(std::uint64_t lane_end) override { inner_->set_durable(lane_end); }
  std::uint64_t position() const override { return inner_->position(); }
  std::uint64_t rejected() const override { return inner_->rejected(); }
  std::uint64_t flush_wanted() const override { return inner_->flush_wanted(); }
  bool producer_waits() const override { return inner_->producer_waits(); }
  bool fencing() const override { return inner_->fencing(); }
  bool producer_gone() override { return inner_->producer_gone(); }
  void set_stream_full(bool full) override { inner_->set_stream_full(full); }
  void set_quarantined() override { inner_->set_quarantined(); }

 private:
  std::unique_ptr<LaneReader> inner_;
  std::function<void()> meddle_;
};

/// One run of a program: a simulated disk, an agent, an honest producer, an enemy.
class World final : agent::LaneSource {
 public:
  explicit World(Program program) : program_(program), hostile_(folder() + "/lanes") {
    env_.set_volatile_root("/run");
    const std::string name(63, 'h');  // nobody comes upon this by chance
    check(honest_.open(folder().c_str(), "honest",
                       {.producer_name = name.c_str(), .lane_bytes = HostileLane::kCapacity}) ==
              Status::kOk,
          "an honest producer can open");
    for (const auto& entry : std::filesystem::directory_iterator(folder() + "/lanes")) {
      const auto path = entry.path().string();
      if (std::find(hostile_.names().begin(), hostile_.names().end(), path) ==
          hostile_.names().end())
        honest_path_ = path;
    }
    start();
  }
  ~World() override {
    std::error_code none;
    std::filesystem::remove(honest_path_, none);
  }

  void run() {
    for (int i = 0; i < kInstructionsMax && program_.more(); ++i) instruction();
    meddlings_ = 0;
    for (int i = 0; i < kLastSteps; ++i) step(kLastStepNs);
    check(honest_.flush_until({}, Level::kProcessSafe) == Status::kOk,
          "the honest lane is drained");
    honest_.close();
    for (int i = 0; i < kLastSteps; ++i) step(kLastStepNs);
    check(honest_removed_, "the honest lane is removed when its producer has gone");
    read_spill();
  }

 private:
  void instruction() {
    switch (program_.choice(10)) {
      case 0:
        return step(1'000'000);
      case 1:
        return step(300'000'000);
      case 2:
        return put();
      case 3:
        meddlings_ = 1 + static_cast<int>(program_.choice(kMeddlingsMax));
        return;
      case 4:
        if (program_.choice(4) == 0 && restarts_++ < kRestartsMax) restart();
        return;
      default:
        return hostile_.act(program_);
    }
  }
  void put() {
    const auto number = accepted_;
    if (honest_.put(core::bytes_of(number)) == Status::kOk) ++accepted_;
  }
  void meddle() {
    for (; meddlings_ > 0 && program_.more(); --meddlings_) hostile_.act(program_);
  }

  void start() {
    core::StreamOptions options;
    options.name = "s";
    options.directory = kSpill;
    options.journal_page_path = "/run/queue/journal/s";
    options.segment_bytes = 64U * 1024;
    options.max_bytes = 64U << 20;
    check(env_.make_directories("/run/queue/journal").has_value(), "a directory");
    auto stream = core::Stream::open(env_, options);
    check(stream.has_value(), "the stream opens");
    stream_ = std::move(*stream);
    drain_ = std::make_unique<agent::Drain>(
        static_cast<LaneSource&>(*this),
        std::vector<agent::StreamSetup>{{stream_.get(), {"#"}, 1'000'000}}, agent::DrainOptions{});
  }
  /// As a kill does.
  void restart() {
    drain_.reset();
    stream_.reset();
    env_.restart_after_kill();
    start();
  }
  void step(std::uint64_t passed_ns) {
    env_.advance_ns(passed_ns);
    agent::Now now;
    now.boottime_ns = env_.boottime_ns();
    now.utc_ns = env_.utc_ns();
    static_cast<void>(drain_->step(now));
    for (auto& order : drain_->take_orders()) drain_->finish(order, order.run(), now);
  }

  void read_spill() {
    auto reader = core::StreamReader::open(env_, kSpill);
    check(reader.has_value(), "the spill can be read");
    std::uint64_t next = 0;
    while (true) {
      const auto item = (*reader)->next();
      check(item.has_value(), "the spill is whole");
      if (!*item) break;
      check(std::holds_alternative<core::Block>(**item), "nothing was dropped");
      const auto& block = std::get<core::Block>(**item);
      if (block.header.lane_id() == honest_id_ &&
          block.header.kind() == static_cast<std::uint8_t>(format::BlockKind::data)) {
        take(block, next);
      }
    }
    check(next == accepted_, "no record of the honest lane is lost");
  }
  static void take(const core::Block& block, std::uint64_t& next) {
    core::FrameCursor frames(block.stored);
    core::FrameView frame;
    while (frames.next(frame)) {
      check(frame.record.size() == sizeof next &&
                std::memcmp(frame.record.data(), &next, sizeof next) == 0,
            "the honest lane's records come once and in order");
      ++next;
    }
    check(frames.clean_end(), "a block holds whole frames");
  }

  // --- the queue, as the drain sees it ---
  bool changed() override { return true; }
  core::Result<std::vector<std::string>> lanes() override {
    std::vector<std::string> paths = hostile_.names();
    if (!honest_removed_) paths.push_back(honest_path_);
    return paths;
  }
  core::Result<agent::LaneFileFacts> facts(const std::string& path) override {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return core::fail_errno(errno, "no " + path);
    return agent::LaneFileFacts{status.st_uid, static_cast<std::uint64_t>(status.st_size)};
  }
  core::Result<std::unique_ptr<shm::LaneReader>> attach(const std::string& path) override {
    auto reader = shm::LaneReader::attach(path);
    if (!reader) return tl::unexpected(reader.error());
    const bool honest = path == honest_path_;
    if (honest) honest_id_ = (*reader)->identity().lane_id();
    return std::make_unique<MeddledReader>(std::move(*reader), [this, honest] {
      if (!honest) meddle();
    });
  }
  core::Result<void> quarantine(const std::string& path) override {
    check(path != honest_path_, "the honest lane is never set aside");
    return take_away(path);
  }
  core::Result<void> remove(const std::string& path) override {
    check(path != honest_path_ || !honest_.is_open(), "a living producer's lane is never removed");
    return take_away(path);
  }
  core::Result<std::vector<std::byte>> read_schema(std::uint64_t) override {
    return core::fail(core::ErrorCode::kNotFound, "nobody left a schema here");
  }
  void remove_schema(std::uint64_t) override {}
  void tidy_schemas(const std::set<std::uint64_t>&) override {}
  core::Result<void> take_away(const std::string& path) {
    ::unlink(path.c_str());
    if (path == honest_path_) honest_removed_ = true;
    hostile_.taken_away(path);
    return {};
  }

  Program program_;
  core::env::SimEnv env_{1};
  HostileLane hostile_;
  Producer honest_;
  std::string honest_path_;
  std::uint64_t honest_id_ = 0;
  bool honest_removed_ = false;
  std::uint64_t accepted_ = 0;
  int meddlings_ = 0;
  int restarts_ = 0;
  std::unique_ptr<core::Stream> stream_;
  std::unique_ptr<agent::Drain> drain_;
};

}  // namespace
}  // namespace spillway::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spillway::fuzz::World world{spillway::fuzz::Program(std::span(data, size))};
  world.run();
  return 0;
}
