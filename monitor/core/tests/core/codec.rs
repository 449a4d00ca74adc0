//! What stands on the wire: samples that must stay readable, and bytes from strangers.

use crate::bench::name;
use planaria_core::codec::{Codec, DecodeError, Key, Keys};
use planaria_core::id::{BootId, Term};
use planaria_core::message::{Body, Envelope, Heartbeat, KeyRole};
use proptest::prelude::*;

const MEMBER: &[u8] = b"member-key-0123456789";
const HEALER: &[u8] = b"healer-key-0123456789";

fn codec() -> Codec {
    Codec::new(
        Keys::new()
            .with(KeyRole::Member, Key::new(MEMBER).unwrap())
            .with(KeyRole::Healer, Key::new(HEALER).unwrap()),
    )
}

fn envelope(body: Body) -> Envelope {
    Envelope {
        cluster: "planaria".into(),
        from: name("healer-1"),
        boot: BootId(0xfeed),
        seq: 7,
        body,
    }
}

/// Written by version 1; whoever changes the layout changes the version.
const GOLDEN: &str = include_str!("golden.json");

#[test]
fn the_golden_sample_is_still_read_and_still_written() {
    let expected = envelope(Body::Coordinator {
        term: Term {
            number: 8,
            boot: BootId(0xfeed),
        },
        token: true,
        why: "healer-3 is gone".into(),
    });
    let bytes = codec().encode(&expected).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), GOLDEN.trim());
    assert_eq!(codec().decode(GOLDEN.trim().as_bytes()).unwrap(), expected);
}

#[test]
fn what_is_signed_comes_back_and_what_is_changed_does_not() {
    let message = envelope(Body::Heartbeat(Heartbeat::default()));
    let bytes = codec().encode(&message).unwrap();
    assert_eq!(codec().decode(&bytes).unwrap(), message);
    let text = String::from_utf8(bytes).unwrap();
    let forged = text.replace("\"seq\":7", "\"seq\":8");
    assert!(matches!(
        codec().decode(forged.as_bytes()),
        Err(DecodeError::Signature(KeyRole::Member))
    ));
}

#[test]
fn a_member_key_cannot_say_what_needs_the_healers() {
    let resign = envelope(Body::Resign {
        term: Term {
            number: 1,
            boot: BootId(1),
        },
    });
    // One that signs everything with the member key, and calls it the healer's.
    let liar = Codec::new(
        Keys::new()
            .with(KeyRole::Member, Key::new(MEMBER).unwrap())
            .with(KeyRole::Healer, Key::new(MEMBER).unwrap()),
    );
    let bytes = liar.encode(&resign).unwrap();
    assert!(matches!(
        codec().decode(&bytes),
        Err(DecodeError::Signature(KeyRole::Healer))
    ));
}

#[test]
fn a_previous_key_is_still_believed_and_never_used() {
    let old = Codec::new(Keys::new().with(KeyRole::Member, Key::new(MEMBER).unwrap()));
    let new = Codec::new(
        Keys::new()
            .with(
                KeyRole::Member,
                Key::new(b"another-key-0123456789").unwrap(),
            )
            .with_previous(KeyRole::Member, Key::new(MEMBER).unwrap()),
    );
    let message = envelope(Body::Leave);
    assert!(new.decode(&old.encode(&message).unwrap()).is_ok());
    assert!(old.decode(&new.encode(&message).unwrap()).is_err());
}

#[test]
fn another_version_is_named() {
    let text = GOLDEN.trim().replacen("\"v\":1", "\"v\":2", 1);
    assert_eq!(
        codec().decode(text.as_bytes()),
        Err(DecodeError::Version { version: 2 })
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = codec().decode(&bytes);
    }

    #[test]
    fn no_damage_to_a_real_message_panics_or_passes(at in 0_usize..400, byte in any::<u8>()) {
        let mut bytes = GOLDEN.trim().as_bytes().to_vec();
        let at = at % bytes.len();
        let same = bytes[at] == byte;
        bytes[at] = byte;
        if let Ok(read) = codec().decode(&bytes) {
            // Outside the signed text only what is not looked at may differ.
            prop_assert!(same || read == codec().decode(GOLDEN.trim().as_bytes()).unwrap());
        }
    }
}
