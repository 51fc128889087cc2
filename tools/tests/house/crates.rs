//! Rules about the crates: who may depend on whom, and that none escapes the lints.

use std::{env, fs, path::Path, process::Command};

use serde_json::Value;

use crate::rules::Finding;
use crate::tree::{self, File};

/// Every crate there may be: package, folder, and the crates of the project it may depend on.
/// `ring` and `transport` do not know each other; only `engine` joins them; nothing runs back up.
const CRATES: [(&str, &str, &[&str]); 5] = [
    ("roundel-ring", "ring", &[]),
    ("roundel-transport", "transport", &[]),
    ("roundel", "engine", &["roundel-ring", "roundel-transport"]),
    ("roundel-perf", "perf", &["roundel"]),
    ("roundel-tools", "tools", &["roundel", "roundel-ring"]),
];

/// A crate as cargo reads its manifest.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the top of the project.
    pub(crate) folder: String,
    pub(crate) manifest: File,
    /// Its local dependencies of every kind, tests and builds included.
    pub(crate) dependencies: Vec<String>,
    /// The root files of its libraries and programs, relative to the top of the project.
    pub(crate) roots: Vec<String>,
}

/// The members of the workspace, from `cargo metadata`.
pub(crate) fn packages() -> Result<Vec<Package>, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(tree::root())
        .output()
        .map_err(|error| format!("cargo metadata does not start: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    items(&metadata, "packages").map(package).collect()
}

/// The root files of all crates that have to forbid unsafe code.
pub(crate) fn safe_roots(packages: &[Package]) -> Result<Vec<File>, String> {
    let safe = packages.iter().filter(|package| package.folder != "transport");
    safe.flat_map(|package| &package.roots).map(|path| read(path)).collect()
}

/// Dependencies that the table does not have.
pub(crate) fn forbidden_dependencies(packages: &[Package]) -> Vec<Finding> {
    let fix = "turn the dependency round, or move the shared thing down; the table is in \
               tools/tests/house/crates.rs";
    let mut findings = Vec::new();
    for package in packages {
        let path = &package.manifest.path;
        let entry = CRATES
            .iter()
            .find(|(name, folder, _)| *name == package.name && *folder == package.folder);
        let Some((_, _, allowed)) = entry else {
            let cause = format!("`{}` in `{}` is not in the table", package.name, package.folder);
            findings.push(Finding::new(path, 1, cause, fix));
            continue;
        };
        for dependency in &package.dependencies {
            if !allowed.contains(&dependency.as_str()) && *dependency != package.name {
                let cause = format!("`{}` may not depend on `{dependency}`", package.name);
                let line = line_of(&package.manifest.text, dependency);
                findings.push(Finding::new(path, line, cause, fix));
            }
        }
    }
    findings
}

/// Folders of the table that have a manifest but are not in the workspace.
pub(crate) fn unlisted(packages: &[Package], has_manifest: impl Fn(&str) -> bool) -> Vec<Finding> {
    let is_member = |folder: &str| packages.iter().any(|package| package.folder == folder);
    let folders = CRATES.iter().map(|(_, folder, _)| *folder);
    folders
        .filter(|folder| has_manifest(folder) && !is_member(folder))
        .map(|folder| {
            let cause = format!("`{folder}` is not a member of the workspace");
            Finding::new("Cargo.toml", 1, cause, "add it to `members`")
        })
        .collect()
}

/// Crates that do not take the workspace's lints.
pub(crate) fn unlinted(packages: &[Package]) -> Vec<Finding> {
    let takes_lints = |text: &str| {
        let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
        lines.any(|line| line == "workspace = true")
    };
    let unlinted = packages.iter().filter(|package| !takes_lints(&package.manifest.text));
    unlinted
        .map(|package| {
            let cause = format!("`{}` does not take the workspace's lints", package.name);
            let fix = "end the manifest with `[lints]` and `workspace = true`";
            Finding::new(&package.manifest.path, 1, cause, fix)
        })
        .collect()
}

fn package(value: &Value) -> Result<Package, String> {
    let manifest = read(&relative(text(value, "manifest_path"))?)?;
    let folder = manifest.path.trim_end_matches("/Cargo.toml").to_owned();
    let local = items(value, "dependencies").filter(|dependency| dependency["path"].is_string());
    let dependencies = local.map(|dependency| text(dependency, "name").to_owned()).collect();
    let is_root =
        |target: &&Value| items(target, "kind").any(|kind| kind == "lib" || kind == "bin");
    let roots = items(value, "targets")
        .filter(is_root)
        .map(|target| relative(text(target, "src_path")))
        .collect::<Result<_, _>>()?;
    Ok(Package { name: text(value, "name").to_owned(), folder, manifest, dependencies, roots })
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn relative(path: &str) -> Result<String, String> {
    let inside = Path::new(path).strip_prefix(tree::root());
    let inside = inside.map_err(|_| format!("{path} is outside of the project"))?;
    Ok(inside.to_string_lossy().into_owned())
}

fn read(path: &str) -> Result<File, String> {
    let text = fs::read_to_string(tree::root().join(path));
    Ok(File { path: path.to_owned(), text: text.map_err(|error| format!("{path}: {error}"))? })
}

/// The first line that starts with the dependency's name; 1 when there is none.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let is_its = |line: &str| {
        let rest = line.trim_start().strip_prefix(dependency);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(is_its).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod damaged {
    use super::*;

    fn sample(name: &str, folder: &str, dependencies: &[&str]) -> Package {
        let head = "[package]\n\n[lints]\nworkspace = true\n\n[dependencies]\n".to_owned();
        let text = dependencies.iter().fold(head, |text, name| text + name + ".workspace = true\n");
        Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            manifest: File { path: format!("{folder}/Cargo.toml"), text },
            dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
            roots: Vec::new(),
        }
    }

    fn places(findings: &[Finding]) -> Vec<(&str, usize)> {
        findings.iter().map(|finding| (finding.path.as_str(), finding.line)).collect()
    }

    #[test]
    fn the_table_itself_passes() {
        let all: Vec<Package> =
            CRATES.iter().map(|&(n, f, allowed)| sample(n, f, allowed)).collect();
        assert!(forbidden_dependencies(&all).is_empty());
        assert!(
            forbidden_dependencies(&[sample("roundel-ring", "ring", &["roundel-ring"])]).is_empty()
        );
    }

    #[test]
    fn a_dependency_against_the_table_is_found() {
        for (name, folder, dependency) in [
            ("roundel-ring", "ring", "roundel-transport"),
            ("roundel-transport", "transport", "roundel-ring"),
            ("roundel-ring", "ring", "roundel"),
            ("roundel", "engine", "roundel-tools"),
            ("roundel-perf", "perf", "roundel-transport"),
            ("roundel-tools", "tools", "roundel-perf"),
        ] {
            let findings = forbidden_dependencies(&[sample(name, folder, &[dependency])]);
            let manifest = format!("{folder}/Cargo.toml");
            assert_eq!(places(&findings), [(manifest.as_str(), 7)], "{name} on {dependency}");
        }
    }

    #[test]
    fn a_crate_outside_the_table_is_found() {
        let stranger = [sample("roundel-util", "util", &[])];
        assert_eq!(places(&forbidden_dependencies(&stranger)), [("util/Cargo.toml", 1)]);
        let moved = [sample("roundel-ring", "tools", &[])];
        assert_eq!(places(&forbidden_dependencies(&moved)), [("tools/Cargo.toml", 1)]);
    }

    #[test]
    fn a_crate_outside_the_workspace_is_found() {
        let packages = [sample("roundel-ring", "ring", &[])];
        assert!(unlisted(&packages, |folder| folder == "ring").is_empty());
        assert_eq!(unlisted(&packages, |folder| folder != "perf").len(), 3);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let mut package = sample("roundel-ring", "ring", &[]);
        assert!(unlinted(std::slice::from_ref(&package)).is_empty());
        package.manifest.text = "[package]\nedition.workspace = true\n[lints]\n".to_owned();
        assert_eq!(unlinted(&[package]).len(), 1);
    }
}
