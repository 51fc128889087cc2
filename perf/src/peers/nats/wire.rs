//! The few verbs of the NATS client protocol that a publisher and subscriber needs.
//!
//! Lines end with CR LF; `MSG subject subscription bytes` is followed by so many bytes and CR LF.

/// The subject that all members publish to and have subscribed.
const SUBJECT: &str = "roundel";

/// What a client says first: that it wants no answer to each verb, all messages of the subject (its
/// own among them), and an answer when that holds.
pub(crate) const HELLO: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\
     \"lang\":\"roundel-perf\",\"version\":\"1\",\"protocol\":1}\r\nSUB roundel 1\r\nPING\r\n";

/// The answer to [`Frame::Ping`].
pub(crate) const PONG: &[u8] = b"PONG\r\n";

/// What a broker says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame<'a> {
    /// A payload.
    Message(&'a [u8]),
    Ping,
    Pong,
    /// Something that needs no answer.
    Other,
}

/// Reads the first frame, and how many bytes it has; `None` when it is not there as a whole.
///
/// # Errors
/// What the broker refuses, or that it does not speak this protocol.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    const LINE_MAX: usize = 4096;
    let Some(end) = bytes.windows(2).take(LINE_MAX).position(|two| two == b"\r\n") else {
        return match bytes.len() > LINE_MAX {
            true => Err("the broker's line does not end".to_owned()),
            false => Ok(None),
        };
    };
    let (line, length) = (&bytes[..end], end + 2);
    if let Some(words) = line.strip_prefix(b"MSG ") {
        let size = words.rsplit(|byte| *byte == b' ').next().and_then(number);
        let size = size.ok_or_else(|| "a message of no length".to_owned())?;
        let whole = length + size + 2;
        let payload = bytes.get(..whole).map(|whole| &whole[length..length + size]);
        return Ok(payload.map(|payload| (Frame::Message(payload), whole)));
    }
    match line {
        b"PING" => Ok(Some((Frame::Ping, length))),
        b"PONG" => Ok(Some((Frame::Pong, length))),
        line if line.starts_with(b"INFO") || line == b"+OK" => Ok(Some((Frame::Other, length))),
        line => Err(format!("the broker says {}", String::from_utf8_lossy(line))),
    }
}

/// Appends the publication of a payload.
pub(crate) fn publish(payload: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(format!("PUB {SUBJECT} {}\r\n", payload.len()).as_bytes());
    to.extend_from_slice(payload);
    to.extend_from_slice(b"\r\n");
}

fn number(digits: &[u8]) -> Option<usize> {
    /// More than a broker takes in one message.
    const SIZE_MAX: usize = 64 << 20;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number <= SIZE_MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_one_after_the_other_and_only_as_a_whole() {
        let mut rest: &[u8] = b"INFO {}\r\nMSG roundel 1 4\r\na\r\nb\r\nPING\r\n+OK\r\nPONG\r\nMS";
        let mut frames = Vec::new();
        while let Some((frame, length)) = parse(rest).unwrap() {
            for cut in 0..length {
                assert_eq!(parse(&rest[..cut]), Ok(None), "{frame:?} at {cut}");
            }
            frames.push(frame);
            rest = &rest[length..];
        }
        let message = Frame::Message(b"a\r\nb");
        assert_eq!(frames, [Frame::Other, message, Frame::Ping, Frame::Other, Frame::Pong]);
        assert_eq!(rest, b"MS");
    }

    #[test]
    fn what_is_not_of_this_protocol_is_an_error() {
        assert!(parse(b"-ERR 'Slow Consumer'\r\n").unwrap_err().contains("Slow Consumer"));
        assert!(parse(b"MSG roundel 1 many\r\n").is_err());
        assert!(parse(b"MSG roundel 1 99999999999\r\n").is_err());
        assert!(parse(&[b'x'; 5000]).is_err());
    }

    #[test]
    fn a_publication_has_its_length() {
        let mut bytes = Vec::new();
        publish(b"hello", &mut bytes);
        assert_eq!(bytes, b"PUB roundel 5\r\nhello\r\n");
        assert!(HELLO.contains(&format!("SUB {SUBJECT} 1\r\n")));
    }
}
