//! The patches with which tests are tested: each must still fit the source.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::rules::Finding;

/// Whether there is a git to ask.
pub(crate) fn git_is_there() -> bool {
    Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The patches in a folder, in order.
pub(crate) fn patches(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: Result<Vec<_>, _> = fs::read_dir(folder)?.collect();
    let paths = entries?.into_iter().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// The patches that do not apply to the tree at `root`. Paths in them start at `root`.
pub(crate) fn stale(root: &Path, patches: &[PathBuf]) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for patch in patches {
        let output = Command::new("git")
            .args(["apply", "--check"])
            .arg(patch)
            .current_dir(root)
            // Below another repository git would skip paths outside of it, and call that success.
            .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root))
            .output()?;
        if !output.status.success() {
            let path = patch.strip_prefix(root).unwrap_or(patch).to_string_lossy();
            let cause = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            let fix = "make the same fault in today's source and write the patch with \
                       `git diff` at the top of the project";
            findings.push(Finding::new(&path, 1, cause, fix));
        }
    }
    Ok(findings)
}

#[test]
fn a_patch_that_does_not_fit_is_found() {
    if !git_is_there() {
        return;
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stale-{}", std::process::id()));
    fs::create_dir_all(root.join("ring/mutants")).unwrap();
    let patch = "--- a/ring/a.rs\n+++ b/ring/a.rs\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n";
    fs::write(root.join("ring/mutants/a.patch"), patch).unwrap();
    fs::write(root.join("ring/mutants/README.md"), "").unwrap();
    let patches = patches(&root.join("ring/mutants")).unwrap();
    assert_eq!(patches.len(), 1);

    fs::write(root.join("ring/a.rs"), "one\ntwo\n").unwrap();
    assert!(stale(&root, &patches).unwrap().is_empty());
    fs::write(root.join("ring/a.rs"), "one\nfour\n").unwrap();
    let findings = stale(&root, &patches).unwrap();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].to_string().starts_with("ring/mutants/a.patch:1: "), "{}", findings[0]);
    fs::remove_dir_all(&root).unwrap();
}
