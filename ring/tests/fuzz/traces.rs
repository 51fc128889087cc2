//! The reader of histories on any bytes: no panic, bounded memory, and what it accepts is written
//! and read again as it is.

use allocation_counter::measure;
use roundel_ring::sim::check::parse::{ParseError, parse};
use roundel_ring::trace::{History, write_line};

use crate::input::Input;

/// One line of every kind.
pub(crate) const LINES: [&str; 7] = [
    concat!(
        r#"{"node":1,"incarnation":7,"t":5,"ev":"conf","kind":"regular","#,
        r#""ring":{"rep":1,"seq":9},"prev_ring":{"rep":1,"seq":7},"members":[1,"#,
        r#"2],"eligible":true}"#,
    ),
    concat!(
        r#"{"node":1,"incarnation":7,"t":6,"ev":"conf","kind":"transitional","#,
        r#""ring":{"rep":1,"seq":9},"prev_ring":null,"members":[1],"#,
        r#""eligible":null}"#,
    ),
    r#"{"node":1,"incarnation":7,"t":6,"ev":"primary","ring":{"rep":1,"seq":9}}"#,
    r#"{"node":1,"incarnation":7,"t":6,"ev":"submit","msg":"1.7.1"}"#,
    concat!(
        r#"{"node":1,"incarnation":7,"t":7,"ev":"send","msg":"1.7.1","#,
        r#""ring":{"rep":1,"seq":9},"service":"safe","h":"0123456789abcdef"}"#,
    ),
    concat!(
        r#"{"node":2,"incarnation":8,"t":8,"ev":"deliver","msg":"1.7.1","#,
        r#""sender":1,"ring":{"rep":1,"seq":9},"conf_kind":"regular","seq":65536,"#,
        r#""service":"safe","h":"0123456789abcdef"}"#,
    ),
    r#"{"node":2,"incarnation":8,"t":9,"ev":"fail"}"#,
];

/// The text that an input describes: itself, or lines of a trace with some changes.
pub(crate) fn described(input: &[u8]) -> Vec<u8> {
    let mut input = Input::new(input);
    if input.byte().is_multiple_of(4) {
        return input.bytes(usize::MAX).to_vec();
    }
    let mut text = Vec::new();
    for _ in 0..=input.byte() % 4 {
        text.extend_from_slice(LINES[input.index(LINES.len())].as_bytes());
        text.push(b'\n');
    }
    for _ in 0..input.byte() % 4 {
        let at = input.index(text.len().max(1)).min(text.len().saturating_sub(1));
        match input.byte() % 5 {
            0 => text.truncate(at),
            1 if !text.is_empty() => text[at] = input.byte(),
            2 if !text.is_empty() => text[at] = b"0123456789,:{}[]\"\\-.e\nnt"[input.index(24)],
            3 if !text.is_empty() => drop(text.remove(at)),
            _ => {
                let more = input.bytes(8);
                text.splice(at..at, more.iter().copied());
            }
        }
    }
    text
}

/// True when the text is a trace.
pub(crate) fn check(text: &[u8]) -> bool {
    let mut parsed: Result<Vec<History>, ParseError> = Ok(Vec::new());
    let used = measure(|| parsed = parse(text));
    // An entry of the history is larger than the shortest line, vectors double, and the reader of
    // one line keeps its numbers as text.
    let bound = 4_096 + 64 * text.len() as u64;
    assert!(used.bytes_max <= bound, "{used:?} for {} bytes", text.len());
    let Ok(histories) = parsed else { return false };
    let mut written = Vec::new();
    for history in &histories {
        for entry in &history.entries {
            write_line(&mut written, history.node, history.incarnation, entry);
        }
    }
    let again = parse(&written).unwrap();
    assert_eq!(again, histories, "{}", String::from_utf8_lossy(&written));
    histories.iter().any(|history| !history.entries.is_empty())
}
