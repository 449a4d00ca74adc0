//! An asynchronous program with a thread that blocks: started inside the runtime, the monitor judges the runtime too, so
//! that a task which blocks it is noticed; the blocking thread has a pulse of its own.
//!
//! `cargo run --package planaria-monitor --example blocking_thread --no-default-features --features tokio`
use planaria_monitor::Monitor;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let monitor = Monitor::builder()
        .pulse_timeout(Duration::from_secs(5))
        .start()?;
    let hashing = monitor.pulse_for("hashing", Duration::from_secs(30));
    let sum = tokio::task::spawn_blocking(move || {
        let mut sum = 0_u64;
        for block in 0..1000_u64 {
            hashing.pulse();
            sum = sum.wrapping_mul(31).wrapping_add(block);
        }
        sum
    });
    println!("sum {}", sum.await?);
    Ok(())
}
