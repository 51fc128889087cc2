//! Lines of stdin, in bounded memory.

use std::io::{self, BufRead, Read};

/// The next line without its newline; one byte more than `bytes_max` of it at most.
pub(crate) fn next_line(input: &mut impl BufRead, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    if input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut text: &[u8], bytes_max: usize) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| next_line(&mut text, bytes_max).unwrap()).collect()
    }

    #[test]
    fn empty_lines_count_and_so_does_a_last_line_without_newline() {
        assert_eq!(lines(b"a\n\nb", 9), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines(b"a\n", 9), [b"a"]);
        assert_eq!(lines(b"\n", 9), [b""]);
        assert!(lines(b"", 9).is_empty());
        assert_eq!(lines(b"a\r\n\xff\0\n", 9), [&b"a\r"[..], b"\xff\0"]);
    }

    #[test]
    fn a_line_of_any_length_takes_bounded_memory() {
        assert_eq!(lines(b"abcd\n", 4), [b"abcd"]);
        assert_eq!(lines(b"abcdefgh\n", 4)[0].len(), 5);
    }
}
