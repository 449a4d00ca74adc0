//! The command line `monitor`.

fn main() -> std::process::ExitCode {
    planaria_monitor::cli::run()
}
