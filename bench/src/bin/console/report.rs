//! The figures, beside their limits.

use anyhow::Result;
use planaria_bench::figures::{Spread, keep};
use serde::Serialize;

/// The limits of the console, in the units of [`Figures`].
const RSS_MIB: f64 = 30.0;
const EVENT_MS: f64 = 150.0;
const PAGES_CPU_PERCENT: f64 = 20.0;
const WEIGHT_KB: f64 = 150.0;
const PAINT_MS: f64 = 200.0;
const TASK_MS: f64 = 50.0;

#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) members: u8,
    pub(crate) incidents: u64,
    pub(crate) rss_mib: f64,
    pub(crate) anonymous_mib: f64,
    pub(crate) rss_with_pages_mib: f64,
    pub(crate) cpu_alone_percent: f64,
    pub(crate) cpu_with_pages_percent: f64,
    pub(crate) cpu_with_pages_and_an_event_a_second_percent: f64,
    pub(crate) incident_to_page_ms: Spread,
    pub(crate) state_to_page_ms: Spread,
    pub(crate) weight_kb: f64,
    pub(crate) weight_compressed_kb: f64,
    pub(crate) page_ms: Spread,
    /// By bench/paint.py, where there was a browser.
    pub(crate) browser: Option<serde_json::Value>,
}

pub(crate) fn report(figures: &Figures) -> Result<()> {
    let line = |what: &str, value: f64, unit: &str, limit: f64| {
        println!(
            "{what:<52} {value:>8.1} {unit:<4} limit {limit:>6.0}   {:.2} of it",
            value / limit
        );
    };
    line(
        "resident, 200 members and a day",
        figures.rss_mib,
        "MiB",
        RSS_MIB,
    );
    line(
        "the same with 200 open pages",
        figures.rss_with_pages_mib,
        "MiB",
        RSS_MIB,
    );
    line(
        "incident to page, 95th percentile",
        figures.incident_to_page_ms.p95,
        "ms",
        EVENT_MS,
    );
    line(
        "change of state to page, 95th percentile",
        figures.state_to_page_ms.p95,
        "ms",
        EVENT_MS,
    );
    line(
        "processor alone",
        figures.cpu_alone_percent,
        "%",
        PAGES_CPU_PERCENT,
    );
    line(
        "processor with 200 open pages",
        figures.cpu_with_pages_percent,
        "%",
        PAGES_CPU_PERCENT,
    );
    line(
        "the same with an event a second",
        figures.cpu_with_pages_and_an_event_a_second_percent,
        "%",
        PAGES_CPU_PERCENT,
    );
    line(
        "a page with all that it loads",
        figures.weight_kb,
        "kB",
        WEIGHT_KB,
    );
    line(
        "the same as sent compressed",
        figures.weight_compressed_kb,
        "kB",
        WEIGHT_KB,
    );
    if let Some(browser) = &figures.browser {
        let ms = |what: &str| browser[what].as_f64().unwrap_or(f64::NAN);
        line(
            "first paint in Chromium, median",
            ms("first_paint_median"),
            "ms",
            PAINT_MS,
        );
        line(
            "longest task of a load and 2 s, median",
            ms("longest_task_median"),
            "ms",
            TASK_MS,
        );
    }
    println!(
        "incident to page, ms (median, p95, max)   {}",
        figures.incident_to_page_ms.columns()
    );
    println!(
        "state to page, ms                         {}",
        figures.state_to_page_ms.columns()
    );
    println!(
        "the page itself, ms                       {}",
        figures.page_ms.columns()
    );
    println!("figures: {}", keep("console", figures)?.display());
    Ok(())
}
