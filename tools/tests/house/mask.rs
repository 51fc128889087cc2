//! Rust source with comments and the contents of literals blanked out, so that the rules can look
//! for words and braces without being fooled by text. Line structure is kept.

/// Blanks comments and the contents of string and character literals. The result has the same
/// lines; a line that is blank in it holds no code (it is empty, comment, or inside a literal).
pub(crate) fn mask(source: &str) -> String {
    let mut masker = Masker { rest: source, out: String::with_capacity(source.len()) };
    while !masker.rest.is_empty() {
        masker.step();
    }
    masker.out
}

/// Whether `word` stands in `text` as a whole word; its byte offset.
pub(crate) fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

struct Masker<'a> {
    rest: &'a str,
    out: String,
}

impl Masker<'_> {
    /// Takes one token's worth: a comment, a literal, an identifier, or one character.
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment_bytes(rest));
        } else if let Some(hashes) = raw_string_hashes(rest) {
            self.raw_string(hashes);
        } else if rest.starts_with('"') {
            self.keep(1);
            self.blank(quoted_bytes(self.rest, '"'));
            self.keep(1);
        } else if let Some(inner) = char_literal_bytes(rest) {
            self.keep(1);
            self.blank(inner);
            self.keep(1);
        } else {
            // An identifier is taken whole: the `r` that ends `for` opens no raw string.
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let prefix =
                matches!(&rest[..word], "b" | "c") && rest[word..].starts_with(['"', '\'']);
            self.keep(if prefix {
                1
            } else {
                word.max(rest.chars().next().map_or(0, char::len_utf8))
            });
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        let open = self.rest.find('"').map_or(self.rest.len(), |at| at + 1);
        self.keep(open);
        let close = format!("\"{}", "#".repeat(hashes));
        self.blank(self.rest.find(&close).unwrap_or(self.rest.len()));
        self.keep(close.len());
    }

    fn keep(&mut self, bytes: usize) {
        let (token, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.out.push_str(token);
        self.rest = rest;
    }

    fn blank(&mut self, bytes: usize) {
        let (token, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.out.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// Length of the (nested) block comment at the start of `rest`.
fn block_comment_bytes(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if rest[at..].starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Number of `#` when `rest` starts with a raw string (`r"`, `br##"`, `cr"` …).
fn raw_string_hashes(rest: &str) -> Option<usize> {
    let after = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let quote = after.trim_start_matches('#');
    quote.starts_with('"').then_some(after.len() - quote.len())
}

/// Bytes up to the closing `quote`, which is not counted.
fn quoted_bytes(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at,
            _ => {}
        }
    }
    rest.len()
}

/// Length of what stands between the quotes when `rest` starts with a character literal; `None`
/// for a lifetime.
fn char_literal_bytes(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    let is_literal = first == '\\' || inner[first.len_utf8()..].starts_with('\'');
    is_literal.then(|| quoted_bytes(inner, '\''))
}

#[test]
fn comments_and_literals_are_blanked_and_lines_kept() {
    let source = "let a = \"fn {\\\" }\"; // unsafe {\n\
                  let b = r#\"\n { \"quoted\" \n\"#; /* { /* } */\n} */ end";
    let masked = mask(source);
    assert_eq!(masked.lines().count(), source.lines().count());
    for gone in ["fn", "unsafe", "{", "}", "quoted"] {
        assert!(!masked.contains(gone), "{gone:?} survived in {masked:?}");
    }
    assert!(masked.contains("let b = r#\"") && masked.ends_with("end"), "{masked:?}");
}

#[test]
fn lifetimes_are_code_and_character_literals_are_not() {
    let masked =
        mask("fn f<'a>(x: &'a str) { if c == '{' || c == '\\'' || c == b'}' { unsafe_code } }");
    assert_eq!(masked.matches('{').count(), 2, "{masked:?}");
    assert_eq!(masked.matches('}').count(), 2, "{masked:?}");
    assert!(masked.contains("<'a>"), "{masked:?}");
}

#[test]
fn the_end_of_an_identifier_opens_no_raw_string() {
    assert_eq!(mask("bar\"x\" fn"), "bar\" \" fn");
    assert_eq!(mask("r#fn { }"), "r#fn { }");
    assert_eq!(mask("br\"\\\" {"), "br\" \" {");
}

#[test]
fn words_are_whole() {
    assert_eq!(find_word("unsafe_code unsafe {", "unsafe"), Some(12));
    assert_eq!(find_word("unsafe_code not_unsafe", "unsafe"), None);
}
