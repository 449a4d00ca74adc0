//! Breaks the stack on a timer or on a signal, and reports whether it healed.
