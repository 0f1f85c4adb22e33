#pragma once

#include <string>

namespace snowfox {

/// Makes the process run as `user` and `group` - names or numbers - for good: real, effective and saved ids, the user's
/// other groups, and no capability left; then makes sure of it. An empty `group` is the user's own; an empty `user`
/// changes the group alone. To be called before anything foreign is read, and before the process has threads.
///
/// Does nothing if the process runs as that already. Throws std::system_error that says what is wrong: no such user or
/// group, not root (EPERM), or what the system refused; then the process should end, for it may be halfway.
void drop_privileges(const std::string& user, const std::string& group);

}  // namespace snowfox
