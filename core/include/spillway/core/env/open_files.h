// How many files this process may have open.
#pragma once

namespace spillway::core::env {

/// Raises the soft limit to the hard one: a thousand gateways' streams are a few thousand files. A try:
/// where it fails, opening one of them says so.
void raise_open_files_limit();

}  // namespace spillway::core::env
