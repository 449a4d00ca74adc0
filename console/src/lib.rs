//! The console: one live page that shows the ring, its lights, the leader and the last incidents.
//!
//! It gives no orders: whatever acts is answered with 401. What it shows is what the leader says.
//!
//! - [`source`] keeps the newest status: the embedded monitor's, and over HTTP the leader's own.
//! - [`snapshot`] turns it into regions of HTML ([`page`], pure) and JSON.
//! - [`feed`] hands the changed regions to a bounded number of browsers by server-sent events.
//! - [`server`] has the routes and the headers; `assets/` has the style and the script.

pub mod feed;
pub mod page;
pub mod server;
pub mod snapshot;
pub mod source;
