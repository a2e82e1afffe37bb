#include "core/env/bus_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "spillway/core/atomic.h"

namespace spillway::core::env {

namespace {

/// A slot is free while `bytes` is 0.
struct Slot {
  Atomic<std::uintptr_t> address{0};
  Atomic<std::uintptr_t> bytes{0};
  Atomic<std::uint32_t> hit{0};
};

std::array<Slot, BusGuard::kMappingsMax> slots;
std::mutex slots_mutex;  // adding and removing; the handler never takes it
bool installed = false;
struct sigaction previous_action;
std::uintptr_t page_bytes = 4096;

Slot* slot_of(std::uintptr_t address) {
  for (Slot& slot : slots) {
    // SYNC slots: pairs with the release store in guard(); the address belongs to the size that was
    // read.
    const std::uintptr_t bytes = slot.bytes.load(std::memory_order_acquire);
    if (bytes != 0 && address - slot.address.load(std::memory_order_relaxed) < bytes) return &slot;
  }
  return nullptr;
}

void on_bus_error(int /*signal*/, siginfo_t* info, void* /*context*/) {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  Slot* slot = info->si_code == BUS_ADRERR ? slot_of(address) : nullptr;
  if (slot != nullptr) {
    void* page = reinterpret_cast<void*>(address & ~(page_bytes - 1));
    void* laid = mmap(page, page_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    slot->hit.store(1, std::memory_order_relaxed);
    errno = saved_errno;
    if (laid != MAP_FAILED) return;
  }
  // Not ours: the instruction runs again, under whoever handled it before.
  sigaction(SIGBUS, &previous_action, nullptr);
  // A signal that somebody sent does not come back by itself.
  if (info->si_code <= 0) raise(SIGBUS);
  errno = saved_errno;
}

bool install() {
  if (installed) return true;
  page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  installed = sigaction(SIGBUS, &action, &previous_action) == 0;
  return installed;
}

}  // namespace

bool BusGuard::guard(const void* address, std::size_t bytes) {
  const std::lock_guard lock(slots_mutex);
  if (!install()) return false;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    Slot& slot = slots[i];
    if (slot.bytes.load(std::memory_order_relaxed) != 0) continue;
    slot.hit.store(0, std::memory_order_relaxed);
    slot.address.store(reinterpret_cast<std::uintptr_t>(address), std::memory_order_relaxed);
    // SYNC slots: pairs with slot_of() in the handler.
    slot.bytes.store(bytes, std::memory_order_release);
    slot_ = i;
    return true;
  }
  return false;
}

bool BusGuard::hit() const {
  return slot_ < kMappingsMax && slots[slot_].hit.load(std::memory_order_relaxed) != 0;
}

BusGuard::~BusGuard() {
  if (slot_ == kMappingsMax) return;
  const std::lock_guard lock(slots_mutex);
  slots[slot_].bytes.store(0, std::memory_order_release);
}

}  // namespace spillway::core::env
