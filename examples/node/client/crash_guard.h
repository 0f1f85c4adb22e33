#pragma once

namespace snowfox::node {

/// From now on the terminal at standard input is put back into the mode that it is in now before the process dies of an
/// error of its own (SIGSEGV, SIGABRT, ...), which then takes its usual course. Nothing if there is no terminal.
void restore_terminal_after_crash();

}  // namespace snowfox::node
