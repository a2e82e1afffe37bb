// LaneTable: the lanes that the drain has attached, and the order among those of one (producer,
// topic).
//
// One thread. No I/O. Invariants:
//  1. Lane ids and paths are unique in the table.
//  2. Of one user's lanes of one (producer, topic) exactly the oldest is not waiting: a restarted
//     producer's new records never overtake its old ones. Oldest: of an earlier boot first, then by
//     created_boottime_ns, then by lane id.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spillway/core/uuid.h"
#include "spillway/shm/lane_reader.h"

namespace spillway::agent {

struct Lane {
  std::unique_ptr<shm::LaneReader> reader;
  std::string path;
  std::string topic;
  std::string producer;
  std::uint32_t uid = 0;
  std::uint64_t file_bytes = 0;
  std::optional<std::size_t> stream;  // none: no stream's filter matches, so it is not drained
  bool waiting = false;               // behind an older lane of the same producer and topic
  bool has_successor = false;         // another lane waits behind this one
  bool quiet = false;                 // its last walk was empty, or its records are to gather
  bool declared = false;              // the stream knows it
  bool explained = false;             // its schema is in the stream, or never will be
  bool told_of_size = false;          // a person was, that its stream does not take its records
  bool refused = false;  // the stream could not take its declaration; tried again each step
  bool gone = false;     // the producer is; what is committed now is all there will be
  std::uint32_t bounded_walks = 0;  // in a row that did not come to the lane's end
  std::uint64_t declared_rejected = 0;
  std::uint64_t declare_again_at_ns = 0;
  std::uint64_t gone_checked_at_ns = 0;
  std::uint64_t durable = 0;  // last published

  [[nodiscard]] std::uint64_t id() const { return reader->identity().lane_id(); }
};

class LaneTable {
 public:
  explicit LaneTable(core::Uuid boot_id) : boot_id_(boot_id) {}

  /// The lane's id must not be in the table.
  void add(std::unique_ptr<Lane> lane);
  /// The lane must be in the table.
  void erase(const Lane& lane);
  [[nodiscard]] Lane* find(std::uint64_t lane_id);
  [[nodiscard]] bool has_path(const std::string& path) const;

  [[nodiscard]] std::size_t size() const { return lanes_.size(); }
  [[nodiscard]] Lane& at(std::size_t index) { return *lanes_[index]; }
  [[nodiscard]] const Lane& at(std::size_t index) const { return *lanes_[index]; }

  struct UserTotal {
    std::uint64_t lanes = 0;
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] UserTotal total_of(std::uint32_t uid) const;

 private:
  [[nodiscard]] bool older(const Lane& a, const Lane& b) const;
  void order_siblings(std::uint32_t uid, const std::string& topic, const std::string& producer);

  core::Uuid boot_id_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace spillway::agent
