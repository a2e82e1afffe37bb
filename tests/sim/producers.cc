#include "tests/sim/producers.h"

#include <charconv>

#include "spillway/core/format.h"

namespace spillway::sim {

namespace {

std::string head_of(const Producer& producer, std::uint64_t number) {
  return producer.name + "#" + std::to_string(number) + " ";
}

}  // namespace

std::string record_text(const Producer& producer, std::uint64_t number) {
  std::string text = head_of(producer, number);
  Random random(number * 31 + producer.name.size() + producer.bytes_max);
  const std::uint64_t bytes = text.size() + random.below(producer.bytes_max);
  // A little chance in each: zstd may not make nothing of it.
  while (text.size() < bytes) {
    const std::uint64_t word = random.next();
    for (std::uint64_t i = 0; i < 8 && text.size() < bytes; ++i) {
      text.push_back(static_cast<char>('0' + (word >> (8 * i)) % 64));
    }
  }
  return text;
}

std::optional<std::uint64_t> record_number(const Producer& producer, std::string_view record) {
  const std::size_t at = producer.name.size() + 1;
  if (!record.starts_with(producer.name) || record.size() <= at || record[at - 1] != '#') return {};
  std::uint64_t number = 0;
  const auto read = std::from_chars(record.data() + at, record.data() + record.size(), number);
  if (read.ec != std::errc{}) return {};
  return number;
}

void Producers::boot(const core::Uuid& boot_id) {
  lanes_ = std::make_unique<agent::testing::FakeLanes>();
  for (Producer& producer : all_) {
    lanes_->add(producer.topic, producer.name);
    auto& identity = lanes_->file(producer.topic).identity;
    identity.mutate_lane_id(context_.random.next() | 1U);
    identity.mutate_max_record_bytes(64 * 1024);
    core::set_uuid(*identity.mutable_boot_id(), boot_id);
    producer.lane_ends.clear();
  }
}

std::uint64_t Producers::put(std::size_t index, std::uint64_t ticks) {
  Producer& producer = all_[index];
  auto& lane = lanes_->file(producer.topic);
  const std::size_t before = lane.data.size();
  lane.put(record_text(producer, producer.may_be_lost.size()), ticks);
  producer.may_be_lost.push_back(false);
  producer.lane_ends.push_back(lane.data.size());
  return lane.data.size() - before;
}

void Producers::lose_power() {
  for (Producer& producer : all_) {
    const std::uint64_t durable = lanes_->file(producer.topic).durable;
    const std::size_t first = producer.may_be_lost.size() - producer.lane_ends.size();
    for (std::size_t i = 0; i < producer.lane_ends.size(); ++i) {
      if (producer.lane_ends[i] > durable) producer.may_be_lost[first + i] = true;
    }
    producer.lane_ends.clear();
  }
}

std::vector<std::size_t> Producers::power_safe() const {
  std::vector<std::size_t> counts;
  for (const Producer& producer : all_) {
    const std::uint64_t durable = lanes_->file(producer.topic).durable;
    std::size_t count = producer.may_be_lost.size() - producer.lane_ends.size();
    for (const std::uint64_t end : producer.lane_ends) count += end <= durable ? 1 : 0;
    counts.push_back(count);
  }
  return counts;
}

void Producers::roll_back(const std::vector<std::size_t>& power_safe) {
  for (std::size_t i = 0; i < all_.size(); ++i) {
    auto& lost = all_[i].may_be_lost;
    std::fill(lost.begin() + static_cast<std::ptrdiff_t>(power_safe[i]), lost.end(), true);
  }
}

bool Producers::drained(const std::string& stream) const {
  for (const Producer& producer : all_) {
    const auto& lane = lanes_->file(producer.topic);
    if (producer.stream == stream && lane.consumed != lane.data.size()) return false;
  }
  return true;
}

void Producers::forget_consumed() {
  for (Producer& producer : all_) {
    auto& lane = lanes_->file(producer.topic);
    lane.consumed = 0;
    // Under a new name the spill knows nothing of it either.
    lane.identity.mutate_lane_id(context_.random.next() | 1U);
  }
}

}  // namespace spillway::sim
