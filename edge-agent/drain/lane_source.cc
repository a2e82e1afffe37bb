#include "edge-agent/drain/lane_source.h"

#include <sys/stat.h>

#include <cerrno>

namespace spillway::agent {
namespace {

class QueueLaneSource final : public LaneSource {
 public:
  explicit QueueLaneSource(shm::QueueDirectory& queue) : queue_(queue) {}

  bool changed() override { return queue_.changed(); }
  core::Result<std::vector<std::string>> lanes() override { return queue_.lanes(); }
  core::Result<LaneFileFacts> facts(const std::string& path) override {
    struct stat status {};
    // lstat: a symbolic link in the lanes' directory is nobody's lane; attach refuses it.
    if (::lstat(path.c_str(), &status) != 0) {
      return core::fail_errno(errno, "cannot look at the lane " + path);
    }
    return LaneFileFacts{status.st_uid, static_cast<std::uint64_t>(status.st_size)};
  }
  core::Result<std::unique_ptr<shm::LaneReader>> attach(const std::string& path) override {
    return shm::LaneReader::attach(path);
  }
  core::Result<void> quarantine(const std::string& path) override {
    return queue_.quarantine(path);
  }
  core::Result<void> remove(const std::string& path) override { return queue_.remove(path); }
  core::Result<std::vector<std::byte>> read_schema(std::uint64_t fingerprint) override {
    return queue_.read_schema(fingerprint);
  }
  void remove_schema(std::uint64_t fingerprint) override { queue_.remove_schema(fingerprint); }
  void tidy_schemas(const std::set<std::uint64_t>& named) override { queue_.tidy_schemas(named); }

 private:
  shm::QueueDirectory& queue_;
};

}  // namespace

std::unique_ptr<LaneSource> make_queue_lane_source(shm::QueueDirectory& queue) {
  return std::make_unique<QueueLaneSource>(queue);
}

}  // namespace spillway::agent
