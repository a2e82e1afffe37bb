#include "shm/producer/fork_guard.h"

#include <pthread.h>
#include <unistd.h>

#include "shm/producer/failure.h"

namespace spillway::shm {

namespace {

// Plain data, constant-initialised: it is there before any constructor and after any destructor.
pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
Producer* list_head = nullptr;
bool handlers_installed = false;

}  // namespace

ForkGuard::Hold::Hold() { pthread_mutex_lock(&list_mutex); }
ForkGuard::Hold::~Hold() { pthread_mutex_unlock(&list_mutex); }

Status ForkGuard::prepare() {
  const Hold hold;
  if (handlers_installed) return Status::kOk;
  const int error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  if (error != 0) return failed_call(error, "cannot prepare for", "fork");
  handlers_installed = true;
  return Status::kOk;
}

void ForkGuard::add(Producer& producer) {
  producer.previous_ = nullptr;
  producer.next_ = list_head;
  if (list_head != nullptr) list_head->previous_ = &producer;
  list_head = &producer;
}

void ForkGuard::remove(Producer& producer) {
  if (producer.previous_ != nullptr) producer.previous_->next_ = producer.next_;
  if (producer.next_ != nullptr) producer.next_->previous_ = producer.previous_;
  if (list_head == &producer) list_head = producer.next_;
  producer.next_ = nullptr;
  producer.previous_ = nullptr;
}

void ForkGuard::before_fork() { pthread_mutex_lock(&list_mutex); }

void ForkGuard::after_fork_in_parent() { pthread_mutex_unlock(&list_mutex); }

void ForkGuard::after_fork_in_child() {
  // The child has one thread, and it holds the mutex: it was locked before the fork.
  for (Producer* producer = list_head; producer != nullptr;) {
    Producer* next = producer->next_;
    close(producer->fd_);
    if (producer->queue_fd_ >= 0) close(producer->queue_fd_);
    producer->forget();
    producer = next;
  }
  list_head = nullptr;
  pthread_mutex_unlock(&list_mutex);
}

}  // namespace spillway::shm
