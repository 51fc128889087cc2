//! What is installed.

use std::process::{Command, Stdio};

/// The version that a tool tells of itself, or why it tells none.
pub(crate) fn version(tool: &str, option: &str) -> Result<String, String> {
    let output = Command::new(tool).arg(option).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{tool} does not start: {error}"))?;
    if output.status.success() {
        return Ok(number(&String::from_utf8_lossy(&output.stdout)));
    }
    Err(format!("{tool} {option} fails: {}", output.status))
}

/// The first word that looks like a version.
fn number(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let mut words = words.map(|word| word.trim_start_matches('v'));
    let version =
        words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'));
    version.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_tell() {
        assert_eq!(number("Corosync Cluster Engine, version '3.1.7'\nCopyright"), "3.1.7");
        assert_eq!(number("nats-server: v2.9.10\n"), "2.9.10");
        assert_eq!(number("hello"), "unknown");
        assert!(version("no-such-tool", "-v").unwrap_err().contains("does not start"));
    }
}
