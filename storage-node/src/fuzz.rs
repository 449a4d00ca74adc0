//! Damaged input for decoders, by seed. `FUZZ_ROUNDS` says how many of each kind: thousands each
//! day, millions once in a while.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// How many inputs each decoder gets.
const ROUNDS: u64 = 4000;

/// Gives `look` an input for each round: the good ones, damaged in one to four places, cut, with
/// pieces repeated or left out, or plain noise. A round that fails is run again by its number.
pub(crate) fn each(good: &[Vec<u8>], mut look: impl FnMut(u64, &[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let one: Option<u64> = number("FUZZ_ONE");
    let rounds = number("FUZZ_ROUNDS").unwrap_or(ROUNDS);
    let all = one.map_or(0..rounds, |one| one..one + 1);
    for round in all {
        let mut rng = SmallRng::seed_from_u64(round);
        let mut bytes = good[rng.random_range(0..good.len())].clone();
        if round % 16 == 0 {
            bytes = vec![0; rng.random_range(0..200)];
            rng.fill(&mut bytes[..]);
        }
        for _ in 0..rng.random_range(1..5) {
            damage(&mut rng, &mut bytes);
        }
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(round, &bytes)));
        assert!(seen.is_ok(), "again with FUZZ_ONE={round}");
    }
}

fn damage(rng: &mut SmallRng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..7) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = rng.random(),
        // Numbers at their ends: lengths are read from such places.
        2 => {
            let end = (at + 8).min(bytes.len());
            bytes[at..end].fill(if rng.random() { 0 } else { 0xff });
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..(at + rng.random_range(1..40)).min(bytes.len()))),
        5 => {
            let piece = bytes[at..(at + rng.random_range(1..40)).min(bytes.len())].to_vec();
            let to = rng.random_range(0..=bytes.len());
            drop(bytes.splice(to..to, piece));
        }
        _ => {
            let mut noise = vec![0; rng.random_range(1..40)];
            rng.fill(&mut noise[..]);
            bytes.extend_from_slice(&noise);
        }
    }
}
