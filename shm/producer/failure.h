// How the producer library says what failed: a status, and one line in a fixed buffer of the
// calling thread. Private.
#pragma once

#include "spillway/status.h"

namespace spillway::shm {

/// Forgets the thread's last detail.
void clear_failure();
/// Notes "<what> <object>: <advice>" (either may be empty) and returns the status.
Status failed(Status status, const char* what, const char* object, const char* advice);
/// The same for a failed system call, with the status and the advice that fit the number.
Status failed_call(int error_number, const char* what, const char* object);

}  // namespace spillway::shm
