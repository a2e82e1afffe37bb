#include "core/env/posix_mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <boost/interprocess/detail/os_file_functions.hpp>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cstring>
#include <limits>

#include "core/env/bus_guard.h"
#include "spillway/core/assert.h"
#include "spillway/core/atomic.h"

namespace spillway::core::env {

namespace {

namespace interprocess = boost::interprocess;

/// What mapped_region asks of a memory-mappable object, for a file that is open already. Boost's
/// own file_mapping opens by name, and between our open (with its lock and checks) and a second one
/// the name may have come to mean another file.
class OpenFileMappable {
 public:
  OpenFileMappable(int descriptor, interprocess::mode_t mode)
      : descriptor_(descriptor), mode_(mode) {}
  [[nodiscard]] interprocess::mapping_handle_t get_mapping_handle() const {
    return interprocess::ipcdetail::mapping_handle_from_file_handle(descriptor_);
  }
  [[nodiscard]] interprocess::mode_t get_mode() const { return mode_; }

 private:
  int descriptor_;
  interprocess::mode_t mode_;
};

class PosixMapping final : public Mapping {
 public:
  PosixMapping(interprocess::mapped_region region, bool writable)
      : region_(std::move(region)), writable_(writable) {
    // Without a free slot it is as it would be without the guard.
    static_cast<void>(guard_.guard(region_.get_address(), region_.get_size()));
  }

  [[nodiscard]] const std::byte* data() const override { return bytes(); }
  [[nodiscard]] std::size_t size() const override { return region_.get_size(); }

  void write(std::size_t offset, std::span<const std::byte> from) override {
    SPILLWAY_ASSERT(writable_ && offset <= size() && from.size() <= size() - offset);
    if (!from.empty()) std::memcpy(bytes() + offset, from.data(), from.size());
  }

  void store_release(std::size_t offset, std::uint64_t value) override {
    SPILLWAY_ASSERT(writable_);
    // SYNC published word: pairs with load_acquire of whoever maps the file, in this process or
    // another.
    word(offset)->store(value, std::memory_order_release);
  }

  [[nodiscard]] std::uint64_t load_acquire(std::size_t offset) const override {
    // SYNC published word: pairs with store_release.
    return word(offset)->load(std::memory_order_acquire);
  }

  [[nodiscard]] bool page_lost() const override { return guard_.hit(); }

 private:
  [[nodiscard]] std::byte* bytes() const { return static_cast<std::byte*>(region_.get_address()); }
  [[nodiscard]] Atomic<std::uint64_t>* word(std::size_t offset) const {
    SPILLWAY_ASSERT(offset % sizeof(std::uint64_t) == 0 && offset < size() &&
                    sizeof(std::uint64_t) <= size() - offset);
    return reinterpret_cast<Atomic<std::uint64_t>*>(bytes() + offset);
  }

  interprocess::mapped_region region_;
  BusGuard guard_;  // goes before the region does
  bool writable_;
};

}  // namespace

Result<std::unique_ptr<Mapping>> map_descriptor(int descriptor, std::uint64_t size,
                                                MapAccess access, const std::string& path) {
  if (size == 0 || size > std::numeric_limits<std::size_t>::max()) {
    return fail(ErrorCode::kInvalidArgument,
                "mapping " + path + ": " + std::to_string(size) + " bytes cannot be mapped here");
  }
  const bool writable = access == MapAccess::kReadWrite;
  const interprocess::mode_t mode = writable ? interprocess::read_write : interprocess::read_only;
  try {
    interprocess::mapped_region region(OpenFileMappable(descriptor, mode), mode, 0,
                                       static_cast<std::size_t>(size));
    return std::make_unique<PosixMapping>(std::move(region), writable);
  } catch (const interprocess::interprocess_exception& error) {
    return fail_errno(error.get_native_error(), "mapping " + path);
  }
}

}  // namespace spillway::core::env
