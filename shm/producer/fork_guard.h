// ForkGuard: the open producers of this process, so that a forked child lets go of them.
//
// Any thread. A lane's lock belongs to an open file description, which fork shares: a child that
// kept its copy of the descriptor would keep a dead parent's lane alive. And the mapping is not
// there in the child (MADV_DONTFORK).
//
// Invariants:
//  1. A producer is in the list from the end of its open to the begin of its close.
//  2. In a child each of them has its descriptors closed and refuses everything (kClosed).
#pragma once

#include "spillway/producer.h"

namespace spillway::shm {

class ForkGuard {
 public:
  /// Holds forks off, in every thread, from before a lane's descriptor is there until it is in the
  /// list, and from before it leaves the list until it is closed. add and remove want it.
  class Hold {
   public:
    Hold();
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
  };
  /// Before the first Hold of a process counts. kSystem: out of memory.
  [[nodiscard]] static Status prepare();
  static void add(Producer& producer);
  static void remove(Producer& producer);

 private:
  static void before_fork();
  static void after_fork_in_parent();
  static void after_fork_in_child();
};

}  // namespace spillway::shm
