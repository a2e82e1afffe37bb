#include "edge-agent/ingest/system_sensor/readings.h"

#include <filesystem>
#include <map>

#include "edge-agent/ingest/system_sensor/text_fields.h"

namespace spillway::agent::sensor {
namespace {

namespace fb = flatbuffers;
using Builder = fb::FlatBufferBuilder;

// More would not help anybody, and a record has a limit.
constexpr std::size_t kEntriesMax = 256;

class CpuSource final : public Source {
 public:
  std::string_view topic_level() const override { return "cpu"; }
  system::Measurement kind() const override { return system::Measurement::Cpu; }
  bool is_there() const override { return stat_.is_open(); }

  fb::Offset<void> build(Builder& builder) override {
    std::string_view text = stat_.read();
    std::string_view line;
    fb::Offset<system::CoreLoad> total;
    cores_.clear();
    while (next_line(text, line) && line.starts_with("cpu") && cores_.size() < kEntriesMax) {
      Fields fields(line);
      const std::string name(fields.word());
      const auto load = build_core(builder, name, fields);
      if (name == "cpu") {
        total = load;
      } else {
        cores_.push_back(load);
      }
    }
    return system::CreateCpu(builder, total, builder.CreateVector(cores_)).Union();
  }

 private:
  struct Times {
    std::uint64_t user = 0, system = 0, idle = 0, iowait = 0;
    [[nodiscard]] std::uint64_t sum() const { return user + system + idle + iowait; }
  };
  struct Core {
    Times times;
    float user = 0, system = 0, idle = 0, iowait = 0;
  };
  // Shares of fewer clock ticks than this would be noise: the last ones stand.
  static constexpr std::uint64_t kTicksMin = 10;

  fb::Offset<system::CoreLoad> build_core(Builder& builder, const std::string& name,
                                          Fields& fields) {
    Times now;
    now.user = fields.number() + fields.number();
    now.system = fields.number();
    now.idle = fields.number();
    now.iowait = fields.number();
    now.system += fields.number() + fields.number();
    auto& core = known_[name];
    const std::uint64_t passed = now.sum() - core.times.sum();
    if (now.sum() > core.times.sum() && passed >= kTicksMin) {
      const auto share = [passed](std::uint64_t is, std::uint64_t was) {
        return is < was ? 0.0F : static_cast<float>(is - was) / static_cast<float>(passed);
      };
      core.user = share(now.user, core.times.user);
      core.system = share(now.system, core.times.system);
      core.idle = share(now.idle, core.times.idle);
      core.iowait = share(now.iowait, core.times.iowait);
      core.times = now;
    }
    return system::CreateCoreLoad(builder, builder.CreateString(name), core.user, core.system,
                                  core.idle, core.iowait);
  }

  KeptFile stat_{"/proc/stat", 64 * 1024};
  std::map<std::string, Core> known_;
  std::vector<fb::Offset<system::CoreLoad>> cores_;
};

class LoadSource final : public Source {
 public:
  std::string_view topic_level() const override { return "load"; }
  system::Measurement kind() const override { return system::Measurement::Load; }
  bool is_there() const override { return file_.is_open(); }

  fb::Offset<void> build(Builder& builder) override {
    Fields fields(file_.read());
    const float one = fields.decimal();
    const float five = fields.decimal();
    const float fifteen = fields.decimal();
    Fields processes(fields.word(" "));  // "2/345"
    const std::string_view runnable = processes.word("/");
    const std::string_view all = processes.word("/\n");
    return system::CreateLoad(builder, one, five, fifteen,
                              static_cast<std::uint32_t>(Fields(runnable).number()),
                              static_cast<std::uint32_t>(Fields(all).number()))
        .Union();
  }

 private:
  KeptFile file_{"/proc/loadavg", 256};
};

class MemorySource final : public Source {
 public:
  std::string_view topic_level() const override { return "memory"; }
  system::Measurement kind() const override { return system::Measurement::Memory; }
  bool is_there() const override { return file_.is_open(); }

  fb::Offset<void> build(Builder& builder) override {
    std::uint64_t total = 0, available = 0, free = 0, cached = 0, swap_total = 0, swap_free = 0;
    std::string_view text = file_.read();
    std::string_view line;
    while (next_line(text, line)) {
      Fields fields(line);
      const std::string_view name = fields.word();
      const std::uint64_t bytes = fields.number() * 1024;
      if (name == "MemTotal") total = bytes;
      if (name == "MemAvailable") available = bytes;
      if (name == "MemFree") free = bytes;
      if (name == "Cached") cached = bytes;
      if (name == "SwapTotal") swap_total = bytes;
      if (name == "SwapFree") swap_free = bytes;
    }
    return system::CreateMemory(builder, total, available, free, cached, swap_total, swap_free)
        .Union();
  }

 private:
  KeptFile file_{"/proc/meminfo"};
};

class DiskSource final : public Source {
 public:
  std::string_view topic_level() const override { return "disk"; }
  system::Measurement kind() const override { return system::Measurement::Disks; }
  bool is_there() const override { return file_.is_open(); }

  fb::Offset<void> build(Builder& builder) override {
    constexpr std::uint64_t kSectorBytes = 512;  // whatever the device's own are
    std::string_view text = file_.read();
    std::string_view line;
    disks_.clear();
    while (next_line(text, line) && disks_.size() < kEntriesMax) {
      Fields fields(line);
      fields.skip(2);
      const std::string_view name = fields.word(" ");
      const std::uint64_t reads = fields.number();
      fields.skip(1);
      const std::uint64_t read_sectors = fields.number();
      fields.skip(1);
      const std::uint64_t writes = fields.number();
      fields.skip(1);
      const std::uint64_t written_sectors = fields.number();
      if (reads == 0 && writes == 0) continue;  // unused loop and RAM devices
      disks_.push_back(system::CreateDisk(builder, builder.CreateString(name), reads,
                                          read_sectors * kSectorBytes, writes,
                                          written_sectors * kSectorBytes));
    }
    return system::CreateDisks(builder, builder.CreateVector(disks_)).Union();
  }

 private:
  KeptFile file_{"/proc/diskstats", 64 * 1024};
  std::vector<fb::Offset<system::Disk>> disks_;
};

class NetworkSource final : public Source {
 public:
  std::string_view topic_level() const override { return "network"; }
  system::Measurement kind() const override { return system::Measurement::Network; }
  bool is_there() const override { return file_.is_open(); }

  fb::Offset<void> build(Builder& builder) override {
    std::string_view text = file_.read();
    std::string_view line;
    interfaces_.clear();
    while (next_line(text, line) && interfaces_.size() < kEntriesMax) {
      if (line.find('|') != std::string_view::npos) continue;  // the two lines of headings
      Fields fields(line);
      const std::string_view name = fields.word();
      const std::uint64_t received_bytes = fields.number();
      const std::uint64_t received_packets = fields.number();
      fields.skip(6);
      const std::uint64_t sent_bytes = fields.number();
      const std::uint64_t sent_packets = fields.number();
      interfaces_.push_back(system::CreateInterface(builder, builder.CreateString(name),
                                                    received_bytes, received_packets, sent_bytes,
                                                    sent_packets));
    }
    return system::CreateNetwork(builder, builder.CreateVector(interfaces_)).Union();
  }

 private:
  KeptFile file_{"/proc/net/dev", 64 * 1024};
  std::vector<fb::Offset<system::Interface>> interfaces_;
};

class ThermalSource final : public Source {
 public:
  ThermalSource() {
    std::error_code none;
    std::filesystem::directory_iterator entries("/sys/class/thermal", none);
    if (none) return;
    for (const auto& entry : entries) {
      const std::string path = entry.path().string();
      if (path.find("thermal_zone") == std::string::npos || zones_.size() >= kEntriesMax) continue;
      KeptFile type(path + "/type", 256);
      zones_.push_back(
          {std::string(Fields(type.read()).word(" \n")), KeptFile(path + "/temp", 64)});
    }
  }
  std::string_view topic_level() const override { return "thermal"; }
  system::Measurement kind() const override { return system::Measurement::Thermal; }
  bool is_there() const override { return !zones_.empty(); }

  fb::Offset<void> build(Builder& builder) override {
    std::vector<fb::Offset<system::Zone>> zones;
    zones.reserve(zones_.size());
    for (auto& zone : zones_) {
      const float celsius = Fields(zone.temperature.read()).decimal() / 1000;
      zones.push_back(system::CreateZone(builder, builder.CreateString(zone.name), celsius));
    }
    return system::CreateThermal(builder, builder.CreateVector(zones)).Union();
  }

 private:
  struct ZoneFile {
    std::string name;
    KeptFile temperature;
  };
  std::vector<ZoneFile> zones_;
};

}  // namespace

std::vector<std::unique_ptr<Source>> open_sources() {
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<CpuSource>());
  sources.push_back(std::make_unique<MemorySource>());
  sources.push_back(std::make_unique<LoadSource>());
  sources.push_back(std::make_unique<DiskSource>());
  sources.push_back(std::make_unique<NetworkSource>());
  sources.push_back(std::make_unique<ThermalSource>());
  std::erase_if(sources, [](const auto& source) { return !source->is_there(); });
  return sources;
}

}  // namespace spillway::agent::sensor
