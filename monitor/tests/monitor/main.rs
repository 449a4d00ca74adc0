//! The program `monitor` from outside: signals, exit codes, hostile bytes.
