//! Text that becomes part of an address.

use std::fmt::Write as _;

/// Escapes everything that is not unreserved (RFC 3986), which is what S3 and RabbitMQ want.
#[must_use]
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_name_is_one_part_of_a_path() {
        assert_eq!(
            encode("10.0.0.1:5 -> 10.0.0.2:5672"),
            "10.0.0.1%3A5%20-%3E%2010.0.0.2%3A5672"
        );
        assert_eq!(encode("a-b_c.d~é/"), "a-b_c.d~%C3%A9%2F");
    }
}
