//! The console: live pages that show the ring, its lights, alerts and incidents, and from which a person acts.
//!
//! It gives no orders itself: what a person asks for is a signed request to the leader. What it shows is what
//! the leader says, what the broker's journal tells, and what it hears and measures.
//!
//! - [`source`] keeps the newest status; [`bus`] reads the journal and the heartbeats; [`scrape`] asks members
//!   for their numbers ([`vitals`]).
//! - [`desk`] is the one task where these come together; [`alerts`] are judged there; [`store`] keeps.
//! - [`snapshot`] is one moment, rendered by [`page`] (pure); [`feed`] hands what changed to the browsers.
//! - [`access`] says who may act; [`server`] has the routes and the headers; [`assets`] are style and script.
//! - [`top`] is the same for a terminal.

pub mod access;
pub mod alerts;
pub mod assets;
pub mod bus;
pub mod desk;
pub mod feed;
pub mod page;
pub mod scrape;
pub mod server;
pub mod snapshot;
pub mod source;
pub mod store;
pub mod top;
pub mod vitals;
