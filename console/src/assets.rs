//! The style, the scripts and the icon. Each is served under an address that holds the digest of all of them, so that
//! a browser keeps it for good and never has one of another version.

use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Name, media type, and text of each.
pub const ASSETS: [(&str, &str, &str); 4] = [
    (
        "app.css",
        "text/css; charset=utf-8",
        include_str!("../assets/app.css"),
    ),
    (
        "app.js",
        "text/javascript; charset=utf-8",
        include_str!("../assets/app.js"),
    ),
    (
        "theme.js",
        "text/javascript; charset=utf-8",
        include_str!("../assets/theme.js"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../assets/icon.svg"),
    ),
];

/// Hexadecimal digits of the digest that are in the address.
const DIGITS: usize = 16;

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for (name, kind, text) in ASSETS {
        for part in [name, kind, text] {
            digest.update(part);
            digest.update([0]);
        }
    }
    let bytes = digest.finalize();
    let mut digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(DIGITS);
    digits
});

/// The digest of all assets.
#[must_use]
pub fn version() -> &'static str {
    &VERSION
}

/// The address of an asset.
#[must_use]
pub fn address(name: &str) -> String {
    format!("/assets/{name}?v={}", version())
}
