#include <algorithm>
#include <cstring>

#include "core/env/sim_state.h"
#include "spillway/core/assert.h"
#include "spillway/core/atomic.h"

namespace spillway::core::env {

namespace {

using StatePointer = std::shared_ptr<SimEnv::State>;

class SimMapping final : public Mapping {
 public:
  SimMapping(StatePointer state, SimInodePointer inode, std::size_t size, bool writable)
      : state_(std::move(state)),
        inode_(std::move(inode)),
        buffer_(inode_->buffer()),
        size_(size),
        life_(state_->life),
        writable_(writable) {
    inode_->mapping_made();
  }
  ~SimMapping() override {
    if (life_ == state_->life) inode_->mapping_gone();
  }
  SimMapping(const SimMapping&) = delete;
  SimMapping& operator=(const SimMapping&) = delete;

  [[nodiscard]] const std::byte* data() const override { return buffer_.get(); }
  [[nodiscard]] std::size_t size() const override { return size_; }

  void write(std::size_t offset, std::span<const std::byte> from) override {
    SPILLWAY_ASSERT(writable_ && offset <= size_ && from.size() <= size_ - offset);
    if (from.empty() || !takes_changes()) return;
    // A store cannot fail: a failure asked for at this step is for the system calls.
    static_cast<void>(state_->begin_write(SimStep::kMapWrite, *inode_, "", offset, from));
    inode_->write(offset, from);
  }

  void store_release(std::size_t offset, std::uint64_t value) override {
    SPILLWAY_ASSERT(writable_);
    Atomic<std::uint64_t>* const at = word(offset);
    if (!takes_changes()) return;
    static_cast<void>(state_->begin_step(SimStep::kMapWrite, ""));
    // SYNC published word: pairs with load_acquire of whoever maps the file.
    at->store(value, std::memory_order_release);
    inode_->mark_dirty(offset, sizeof(value));
  }

  [[nodiscard]] std::uint64_t load_acquire(std::size_t offset) const override {
    // SYNC published word: pairs with store_release.
    return word(offset)->load(std::memory_order_acquire);
  }

 private:
  [[nodiscard]] bool takes_changes() const { return life_ == state_->life && state_->powered; }
  [[nodiscard]] Atomic<std::uint64_t>* word(std::size_t offset) const {
    SPILLWAY_ASSERT(offset % sizeof(std::uint64_t) == 0 && offset < size_ &&
                    sizeof(std::uint64_t) <= size_ - offset);
    return reinterpret_cast<Atomic<std::uint64_t>*>(buffer_.get() + offset);
  }

  StatePointer state_;
  SimInodePointer inode_;
  std::shared_ptr<std::byte[]> buffer_;
  std::size_t size_;
  std::uint64_t life_;
  bool writable_;
};

class SimFile final : public File {
 public:
  SimFile(StatePointer state, SimInodePointer inode, std::string path, bool writable)
      : state_(std::move(state)),
        inode_(std::move(inode)),
        path_(std::move(path)),
        life_(state_->life),
        writable_(writable) {}
  ~SimFile() override {
    if (life_ == state_->life && inode_->lock_holder == this) inode_->lock_holder = nullptr;
  }
  SimFile(const SimFile&) = delete;
  SimFile& operator=(const SimFile&) = delete;

  [[nodiscard]] Result<std::size_t> read(std::uint64_t offset,
                                         std::span<std::byte> into) const override {
    ++state_->reads;
    if (offset >= inode_->size()) return std::size_t{0};
    const auto begin = static_cast<std::size_t>(offset);
    const std::size_t size = std::min(into.size(), inode_->size() - begin);
    if (size > 0) std::memcpy(into.data(), inode_->bytes() + begin, size);
    return size;
  }

  [[nodiscard]] Result<void> write(std::uint64_t offset,
                                   std::span<const std::byte> bytes) override {
    SPILLWAY_CHECKED(check_change("writing "));
    if (bytes.empty()) return {};
    const std::uint64_t end = offset + bytes.size();
    if (end > inode_->size()) {
      SPILLWAY_CHECKED(state_->check_space(end - inode_->size(), path_));
    }
    const auto begin = static_cast<std::size_t>(offset);
    SPILLWAY_CHECKED(state_->begin_write(SimStep::kFileWrite, *inode_, path_, begin, bytes));
    inode_->write(begin, bytes);
    return {};
  }

  [[nodiscard]] Result<std::uint64_t> size() const override {
    return std::uint64_t{inode_->size()};
  }

  [[nodiscard]] Result<void> allocate(std::uint64_t size) override {
    SPILLWAY_CHECKED(check_change("reserving "));
    if (size > inode_->size()) {
      SPILLWAY_CHECKED(state_->check_space(size - inode_->size(), path_));
    }
    SPILLWAY_CHECKED(state_->begin_step(SimStep::kAllocate, path_));
    inode_->grow(static_cast<std::size_t>(size));
    return {};
  }

  [[nodiscard]] Result<void> sync_data() override {
    SPILLWAY_CHECKED(check_life("syncing "));
    Result<void> step = state_->begin_step(SimStep::kSyncData, path_);
    if (step && !state_->syncs_fail) {
      inode_->sync();
      return {};
    }
    if (state_->powered) inode_->fail_sync(state_->random);
    if (!step) return step;
    return fail(ErrorCode::kIo, "syncing " + path_ + ": Input/output error (simulated)");
  }

  [[nodiscard]] Result<std::unique_ptr<Mapping>> map(std::uint64_t size,
                                                     MapAccess access) override {
    SPILLWAY_CHECKED(check_life("mapping "));
    const bool writable = access == MapAccess::kReadWrite;
    if (writable) SPILLWAY_CHECKED(check_change("mapping "));
    if (size == 0 || size > inode_->size()) {
      return fail(ErrorCode::kInvalidArgument, "mapping " + path_ + ": " + std::to_string(size) +
                                                   " bytes asked for, the file has " +
                                                   std::to_string(inode_->size()));
    }
    return std::make_unique<SimMapping>(state_, inode_, static_cast<std::size_t>(size), writable);
  }

  [[nodiscard]] Result<bool> try_lock() override {
    SPILLWAY_CHECKED(check_change("locking "));
    if (inode_->lock_holder != nullptr) return inode_->lock_holder == this;
    inode_->lock_holder = this;
    return true;
  }

 private:
  [[nodiscard]] Result<void> check_life(const char* what) const {
    if (life_ == state_->life) return {};
    return fail(ErrorCode::kIo, what + path_ + ": this handle is from before the restart");
  }
  [[nodiscard]] Result<void> check_change(const char* what) const {
    SPILLWAY_CHECKED(check_life(what));
    if (writable_) return {};
    return fail(ErrorCode::kPermission, what + path_ + ": it was opened for reading");
  }

  StatePointer state_;
  SimInodePointer inode_;
  std::string path_;
  std::uint64_t life_;
  bool writable_;
};

}  // namespace

std::unique_ptr<File> make_sim_file(std::shared_ptr<SimEnv::State> state, SimInodePointer inode,
                                    std::string path, bool writable) {
  return std::make_unique<SimFile>(std::move(state), std::move(inode), std::move(path), writable);
}

}  // namespace spillway::core::env
