//! A worker loop: a pulse for each job, an excuse for the long one.
//!
//! `cargo run --package planaria-monitor --example worker_loop --no-default-features`
use planaria_monitor::Monitor;
use std::time::Duration;

fn main() -> Result<(), planaria_monitor::StartError> {
    let monitor = Monitor::builder()
        .pulse_timeout(Duration::from_secs(5))
        .start()?;
    for job in 1..=3 {
        monitor.pulse();
        std::thread::sleep(Duration::from_millis(100)); // the work
        println!("job {job}");
    }
    // Known to take longer than five seconds; at most a minute.
    let busy = monitor.expect(Duration::from_secs(60));
    println!("compacting");
    drop(busy);
    Ok(())
}
