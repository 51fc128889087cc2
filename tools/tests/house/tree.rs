//! The tree that the rules look at: a plain walk, so that a source archive is judged like a clone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A text file of the project.
pub(crate) struct File {
    /// Relative to the top of the project, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whole files of tests; a `mod tests` inside a source file is part of that file.
    pub(crate) fn is_test(&self) -> bool {
        let is_test_name = |name| matches!(name, "tests" | "tests.rs");
        self.path.split('/').any(is_test_name) || self.path.ends_with("_tests.rs")
    }
}

/// The top of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// Every text file of the project in order of path. Build output and tools' own folders are left
/// out.
pub(crate) fn files() -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    walk(&root(), "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The Rust files of the project.
pub(crate) fn rust_files() -> io::Result<Vec<File>> {
    Ok(files()?.into_iter().filter(File::is_rust).collect())
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
        if kind.is_dir() {
            if !is_left_out(&name, &entry.path()) {
                walk(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file()
            && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
        {
            files.push(File { path, text });
        }
    }
    Ok(())
}

fn is_left_out(name: &str, folder: &Path) -> bool {
    let of_a_tool = name.starts_with('.') && name != ".ci";
    of_a_tool || name == "target" || folder.join("CACHEDIR.TAG").exists()
}

#[test]
fn test_files_are_told_from_sources() {
    let is_test = |path: &str| File { path: path.to_owned(), text: String::new() }.is_test();
    assert!(is_test("tools/tests/house.rs") && is_test("ring/src/window/tests.rs"));
    assert!(is_test("ring/src/membership/matrix_tests.rs"));
    assert!(!is_test("ring/src/window.rs") && !is_test("ring/src/attests.rs"));
}
