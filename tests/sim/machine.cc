#include "tests/sim/machine.h"

#include <stdexcept>

namespace spillway::sim {

namespace {

template <typename T>
T must(core::Result<T> result) {
  if (!result) throw std::runtime_error("the simulator's own work: " + result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace

Machine::Machine(Context& context, std::string name)
    : context_(context), name_(std::move(name)), env_(context.random.next()) {
  env_.set_volatile_root(kRun);
  if (context.random.chance(30)) env_.set_sector_bytes(4096);
  must(env_.make_directories(kSpill));
}

void Machine::run(const std::function<void()>& work) {
  const std::uint64_t now = context_.timeline.now_ns();
  env_.advance_ns(now - clock_read_ns_);
  clock_read_ns_ = now;
  try {
    work();
  } catch (const core::env::PowerCut& cut) {
    context_.trace.note(name_, "stops at step", cut.step);
    on_stop_();
  }
}

void Machine::stop_at_a_step(std::uint64_t steps) {
  env_.cut_power_at(env_.steps() + context_.random.below(steps));
  will_stop_ = true;
}

void Machine::forget_stop() {
  env_.cut_power_at({});
  will_stop_ = false;
}

Machine::Backup Machine::back_up() {
  Backup backup;
  collect(kSpill, backup);
  return backup;
}

void Machine::collect(const std::string& directory, Backup& backup) {
  for (const std::string& name : must(env_.list(directory))) {
    const std::string path = directory + "/" + name;
    if (env_.list(path)) {
      collect(path, backup);
      continue;
    }
    auto file = must(env_.open(path, core::env::OpenMode::kRead));
    auto& bytes = backup[path];
    bytes.resize(static_cast<std::size_t>(must(file->size())));
    must(file->read(0, bytes));
  }
}

void Machine::clear(const std::string& directory) {
  for (const std::string& name : must(env_.list(directory))) {
    const std::string path = directory + "/" + name;
    if (env_.list(path)) {
      clear(path);
    } else {
      must(env_.remove(path));
    }
  }
  must(env_.sync_directory(directory));
}

void Machine::restore(const Backup& backup) {
  clear(kSpill);
  for (const auto& [path, bytes] : backup) {
    auto file = must(env_.open(path, core::env::OpenMode::kCreateNew));
    must(file->write(0, bytes));
    must(file->sync_data());
    must(env_.sync_directory(path.substr(0, path.rfind('/'))));
  }
}

}  // namespace spillway::sim
