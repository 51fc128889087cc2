//! JSON output: compact, one object a line.

use std::io::{self, Write};

use roundel::RingId;
use serde::{Serialize, Serializer};

/// Writes one object and its newline.
pub(crate) fn write_object<T: Serialize>(out: &mut impl Write, object: &T) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}

/// The payload of a message: `payload` when it is UTF-8, else `payload_base64`.
#[derive(Serialize)]
pub(crate) enum Payload<'a> {
    /// As it is.
    #[serde(rename = "payload")]
    Text(&'a str),
    /// Any bytes.
    #[serde(rename = "payload_base64", serialize_with = "base64")]
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Bytes(bytes), Self::Text)
    }
}

fn base64<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&data_encoding::BASE64.encode(bytes))
}

/// The identity of a ring.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct RingObject {
    rep: u32,
    seq: u64,
}

impl From<RingId> for RingObject {
    fn from(ring: RingId) -> Self {
        Self { rep: ring.representative.0, seq: ring.epoch.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_object(&mut out, &Payload::new(bytes)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_text_and_everything_else_is_base64() {
        assert_eq!(object("grün \"x\"".as_bytes()), "{\"payload\":\"grün \\\"x\\\"\"}\n");
        assert_eq!(object(b""), "{\"payload\":\"\"}\n");
        assert_eq!(object(b"\xff\0"), "{\"payload_base64\":\"/wA=\"}\n");
    }
}
