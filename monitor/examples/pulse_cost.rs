//! What a pulse costs. `cargo run --release --package planaria-monitor --example pulse_cost --no-default-features`
use planaria_monitor::Monitor;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 100_000_000;

fn main() -> Result<(), planaria_monitor::StartError> {
    let monitor = Monitor::builder().start()?;
    let named = monitor.pulse_for("named", Duration::from_secs(10));
    let per_call = |work: &dyn Fn()| {
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            black_box(work)();
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    };
    println!("an empty call      {:.2} ns", per_call(&|| {}));
    println!("monitor.pulse()    {:.2} ns", per_call(&|| monitor.pulse()));
    println!("pulse.pulse()      {:.2} ns", per_call(&|| named.pulse()));
    Ok(())
}
