//! A plain program of several threads, each with a deadline of its own. With the argument `hang` one of them hangs, and
//! the process ends with 70 and says which.
//!
//! `cargo run --package planaria-monitor --example plain_std --no-default-features -- hang`
use planaria_monitor::Monitor;
use std::time::Duration;

fn main() -> Result<(), planaria_monitor::StartError> {
    let hangs = std::env::args().nth(1).as_deref() == Some("hang");
    let monitor = Monitor::builder().start()?;
    let reader = monitor.pulse_for("reader", Duration::from_secs(1));
    let writer = monitor.pulse_for("writer", Duration::from_secs(2));
    let read = std::thread::spawn(move || {
        for line in 0..5 {
            reader.pulse();
            if hangs && line == 2 {
                std::thread::park(); // a lock that nobody will ever release
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let write = std::thread::spawn(move || {
        for _ in 0..5 {
            writer.pulse();
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    for thread in [read, write] {
        // A thread that panicked has said so itself.
        let _ = thread.join();
    }
    println!("done");
    Ok(())
}
