//! Rules about source text: each takes files, gives findings, and is tested here on a damaged
//! sample.

use std::fmt;

use crate::mask::{find_word, mask};
use crate::tree::File;

pub(crate) const FILE_LINES_MAX: usize = 600;
pub(crate) const FILE_LINES_MEDIAN_LIMIT: usize = 250;
pub(crate) const FUNCTION_LINES_MAX: usize = 70;
pub(crate) const LINE_COLUMNS_MAX: usize = 100;

/// A broken rule: where, why, and what to do.
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) cause: String,
    pub(crate) fix: &'static str,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, cause: String, fix: &'static str) -> Finding {
        Finding { path: path.to_owned(), line, cause, fix }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    fix: {}", self.path, self.line, self.cause, self.fix)
    }
}

pub(crate) fn long_files(sources: &[File]) -> Vec<Finding> {
    let long = sources.iter().filter(|file| file.text.lines().count() > FILE_LINES_MAX);
    long.map(|file| {
        let cause =
            format!("the file has {} lines, at most {FILE_LINES_MAX}", file.text.lines().count());
        let fix = "split it by concern, or move its tests to a `tests.rs` beside it";
        Finding::new(&file.path, FILE_LINES_MAX + 1, cause, fix)
    })
    .collect()
}

/// Median length of the files in lines; the upper one of two.
pub(crate) fn median_lines(sources: &[File]) -> usize {
    let mut lengths: Vec<usize> = sources.iter().map(|file| file.text.lines().count()).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or(0)
}

pub(crate) fn long_functions(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let long =
            functions(&mask(&file.text)).into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
        findings.extend(long.map(|Function { name, line, lines }| {
            let cause = format!("fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}");
            let fix = "give a part of it a name of its own; a table can be a const";
            Finding::new(&file.path, line, cause, fix)
        }));
    }
    findings
}

/// How many functions [`long_functions`] judges.
pub(crate) fn count_functions(files: &[File]) -> usize {
    files.iter().map(|file| functions(&mask(&file.text)).len()).sum()
}

/// Comments and the inside of literals over several lines are not code.
pub(crate) fn wide_lines(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let masked = mask(&file.text);
        let lines = file.text.lines().zip(masked.lines()).enumerate();
        for (index, (text, code)) in lines {
            let columns = text.chars().count();
            if columns > LINE_COLUMNS_MAX && !code.trim().is_empty() {
                let cause = format!("the line has {columns} columns, at most {LINE_COLUMNS_MAX}");
                let fix = "run cargo fmt; break long literals with `\\` or `concat!`";
                findings.push(Finding::new(&file.path, index + 1, cause, fix));
            }
        }
    }
    findings
}

/// The one place for `unsafe` is `transport/src/sys`.
pub(crate) fn misplaced_unsafe(files: &[File]) -> Vec<Finding> {
    let is_sys =
        |path: &str| path.starts_with("transport/src/sys/") || path == "transport/src/sys.rs";
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| !is_sys(&file.path)) {
        for (index, code) in mask(&file.text).lines().enumerate() {
            if find_word(code, "unsafe").is_some() {
                let cause = "unsafe outside transport/src/sys".to_owned();
                let fix = "do without, or put a safe wrapper into transport/src/sys";
                findings.push(Finding::new(&file.path, index + 1, cause, fix));
            }
        }
    }
    findings
}

pub(crate) fn missing_forbid(crate_roots: &[File]) -> Vec<Finding> {
    let forbids =
        |file: &File| mask(&file.text).lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
    let missing = crate_roots.iter().filter(|file| !forbids(file));
    missing
        .map(|file| {
            let cause = "the crate does not forbid unsafe code".to_owned();
            Finding::new(&file.path, 1, cause, "add `#![forbid(unsafe_code)]` below its docs")
        })
        .collect()
}

/// Work left to do belongs in an issue.
pub(crate) fn leftovers(files: &[File]) -> Vec<Finding> {
    // In two halves, so that this file does not find itself.
    let markers = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    let mut findings = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(marker) = markers.iter().find(|marker| find_word(line, marker).is_some()) {
                let fix = "do it, or open an issue and say here what holds now";
                findings.push(Finding::new(&file.path, index + 1, format!("a {marker}"), fix));
            }
        }
    }
    findings
}

pub(crate) fn strangers_on_top(names: &[String]) -> Vec<Finding> {
    const ALLOWED: [&str; 9] = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "engine",
        "ring",
        "transport",
        "perf",
        "tools",
        "target",
    ];
    let is_allowed = |name: &str| {
        ALLOWED.contains(&name) || name.starts_with('.') || name.starts_with("LICENSE-")
    };
    let strangers = names.iter().filter(|name| !is_allowed(name));
    strangers
        .map(|name| {
            let cause = "not one of the things that stand at the top level".to_owned();
            Finding::new(name, 1, cause, "move it into the crate it belongs to")
        })
        .collect()
}

/// A function with a body; `lines` from `fn` to the closing brace.
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// The functions of masked source. Good for formatted code without braces in signatures.
fn functions(masked: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = find_word(&masked[from..], "fn").map(|at| from + at) {
        from = at + "fn".len();
        let signature = masked[from..].trim_start();
        let name_bytes = signature.find(|c: char| !c.is_alphanumeric() && !"_$".contains(c));
        let name = &signature[..name_bytes.unwrap_or(signature.len())];
        // `fn(` is a type.
        if !name.is_empty()
            && let Some(body) = body_bytes(&masked[from..])
        {
            let line = masked[..at].matches('\n').count() + 1;
            let lines = masked[at..from + body].matches('\n').count() + 1;
            found.push(Function { name: name.to_owned(), line, lines });
        }
    }
    found
}

/// Bytes up to and with the closing brace of the body; `None` for a declaration.
fn body_bytes(signature: &str) -> Option<usize> {
    let (mut parentheses, mut braces) = (0_usize, 0_usize);
    for (at, c) in signature.char_indices() {
        match c {
            '(' | '[' => parentheses += 1,
            ')' | ']' => parentheses = parentheses.saturating_sub(1),
            ';' if parentheses == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' if braces <= 1 => return (braces == 1).then_some(at + 1),
            '}' => braces -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod damaged {
    use super::*;

    fn file(path: &str, text: impl Into<String>) -> Vec<File> {
        vec![File { path: path.to_owned(), text: text.into() }]
    }

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(long_files(&file("a.rs", "x\n".repeat(FILE_LINES_MAX))).is_empty());
        assert_eq!(lines(&long_files(&file("a.rs", "x\n".repeat(FILE_LINES_MAX + 1)))), [601]);
    }

    #[test]
    fn the_median_is_the_middle_file() {
        let of = |lengths: &[usize]| {
            let files: Vec<File> =
                lengths.iter().flat_map(|&n| file("a.rs", "x\n".repeat(n))).collect();
            median_lines(&files)
        };
        assert_eq!(of(&[900, 1, 300]), 300);
        assert_eq!(of(&[1, 300]), 300);
    }

    #[test]
    fn a_long_function_is_found() {
        let function = |lines: usize| {
            let head = "type F = fn(u8);\ntrait T {\n    fn d(a: [u8; 2]);\n";
            let body = "    let x = [0; { 1 }]; // }\n".repeat(lines - 2);
            file("a.rs", format!("{head}    fn f(a: [u8; 2]) -> u8 {{\n{body}    }}\n}}\n"))
        };
        assert!(long_functions(&function(FUNCTION_LINES_MAX)).is_empty());
        let findings = long_functions(&function(FUNCTION_LINES_MAX + 1));
        assert_eq!(lines(&findings), [4]);
        assert!(findings[0].cause.contains("fn f has 71 lines"), "{}", findings[0]);
    }

    #[test]
    fn a_long_function_inside_another_or_a_macro_is_found() {
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX);
        let nested = format!("macro_rules! m {{ () => {{\nfn $name() {{\n{body}}}\n}} }}\n");
        assert_eq!(lines(&long_functions(&file("a.rs", nested))), [2]);
        let nested = format!("fn outer() {{\n    fn inner() {{\n{body}    }}\n}}\n");
        assert_eq!(lines(&long_functions(&file("a.rs", nested))), [1, 2]);
    }

    #[test]
    fn a_wide_line_of_code_is_found() {
        let wide = "é".repeat(LINE_COLUMNS_MAX - 4);
        assert!(wide_lines(&file("a.rs", format!("f({wide});"))).is_empty());
        assert_eq!(lines(&wide_lines(&file("a.rs", format!("\nff({wide});")))), [2]);
        assert_eq!(lines(&wide_lines(&file("a.rs", format!("f(\"{wide}\");")))), [1]);
        let not_code = format!("// {wide} {wide}\nlet s = \"\n{wide} {wide}\n\";\n");
        assert!(wide_lines(&file("a.rs", not_code)).is_empty());
    }

    #[test]
    fn unsafe_in_the_wrong_place_is_found() {
        let code = "#![forbid(unsafe_code)]\n// unsafe\nlet s = \"unsafe\";\nunsafe { f() }\n";
        assert_eq!(lines(&misplaced_unsafe(&file("transport/src/link.rs", code))), [4]);
        assert!(misplaced_unsafe(&file("transport/src/sys/mmsg.rs", code)).is_empty());
        assert_eq!(lines(&misplaced_unsafe(&file("ring/src/sys/mmsg.rs", code))), [4]);
    }

    #[test]
    fn a_crate_that_allows_unsafe_is_found() {
        assert!(missing_forbid(&file("lib.rs", "//! Docs.\n#![forbid(unsafe_code)]\n")).is_empty());
        for text in ["", "//! #![forbid(unsafe_code)]\n", "#![deny(unsafe_code)]\n"] {
            assert_eq!(missing_forbid(&file("lib.rs", text)).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_leftover_is_found() {
        let text = format!("fine\n// {}{}: later\n{}{}(me)\n", "TO", "DO", "FIX", "ME");
        assert_eq!(lines(&leftovers(&file("a.md", text))), [2, 3]);
        assert!(leftovers(&file("a.rs", "todo = \"deny\" METHODOLOGY")).is_empty());
    }

    #[test]
    fn a_stranger_on_top_is_found() {
        let names = ["ring", "LICENSE-MIT", ".ci", "docs", "LICENSES"].map(str::to_owned);
        let found: Vec<String> = strangers_on_top(&names).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["docs", "LICENSES"]);
    }

    #[test]
    fn a_finding_names_place_cause_and_fix() {
        let finding = Finding::new("a.rs", 7, "too wide".to_owned(), "cut it");
        assert_eq!(finding.to_string(), "a.rs:7: too wide\n    fix: cut it");
    }
}
