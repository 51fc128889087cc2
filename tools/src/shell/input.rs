//! The lines of stdin, read by a thread of their own: when the shell is slower, stdin waits.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use crate::lines::next_line;

/// Lines read and not yet taken, at most.
const LINES_MAX: usize = 64;

/// A line of stdin.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    pub(crate) text: Vec<u8>,
}

impl Line {
    /// Its first word, and what follows the blank behind that.
    pub(crate) fn words(&self) -> (&[u8], &[u8]) {
        split_word(&self.text)
    }
}

/// The first word of a text, and what follows the blank behind it.
pub(crate) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b' ');
    end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 1..]))
}

/// A word that must be text.
pub(crate) fn text(word: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(word).map_err(|_| "not UTF-8; write names in UTF-8".to_owned())
}

/// All lines.
#[derive(Debug)]
pub(crate) struct Input {
    lines: Receiver<io::Result<Line>>,
    /// Not taken yet.
    held: Option<Line>,
    ended: bool,
}

impl Input {
    /// Begins to read; lines of more than `bytes_max` bytes are cut one byte behind that.
    pub(crate) fn start(bytes_max: usize) -> io::Result<Self> {
        let (sender, lines) = sync_channel(LINES_MAX);
        let read = move || {
            let mut input = io::stdin().lock();
            for number in 1.. {
                let line = match next_line(&mut input, bytes_max) {
                    Ok(Some(text)) => Ok(Line { number, text }),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let is_last = line.is_err();
                if sender.send(line).is_err() || is_last {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("roundel-stdin".to_owned()).spawn(read)?;
        Ok(Self { lines, held: None, ended: false })
    }

    /// The next line, if there is one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.held.take() {
            return Ok(Some(line));
        }
        match self.lines.try_recv() {
            Ok(line) => line.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    /// Gives a line back: it comes again.
    pub(crate) fn hold(&mut self, line: Line) {
        self.held = Some(line);
    }

    /// All lines were taken and no more will come.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended && self.held.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_the_first_blank() {
        let line = |text: &[u8]| Line { number: 1, text: text.to_owned() };
        assert_eq!(line(b"put a  b").words(), (&b"put"[..], &b"a  b"[..]));
        assert_eq!(line(b"dump").words(), (&b"dump"[..], &b""[..]));
        assert_eq!(split_word(b" x"), (&b""[..], &b"x"[..]));
        assert!(text(b"\xff").is_err());
    }
}
