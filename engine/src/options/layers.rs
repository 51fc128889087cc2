//! Defaults, configuration file, environment, flags: each overrides the ones before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, Parser};

use super::known::KNOWN_NAMES;

/// Environment variables by their names.
pub type Variables = BTreeMap<String, String>;

/// What variables of the project begin with.
const PREFIX: &str = "ROUNDEL_";

/// Reads this process's options, or says what is wrong with them and ends it with exit code 2.
#[must_use]
pub fn parse<C: Parser>() -> C {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let text = |os: OsString| os.to_string_lossy().into_owned();
    let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    try_parse(&arguments, &variables).unwrap_or_else(|error| error.exit())
}

/// Reads the options of a command from `arguments` (the program's name first), `variables` and
/// the file that `--config` names.
///
/// # Errors
/// What is wrong, where it stands, and how to mend it; also the text of `--help` and `--version`.
pub fn try_parse<C: Parser>(
    arguments: &[OsString],
    variables: &Variables,
) -> Result<C, clap::Error> {
    let mut command = C::command();
    command.build();
    let invalid =
        |command: &mut Command, text: String| command.error(ErrorKind::InvalidValue, text);
    let mut layers = Layers::default();
    layers.read_environment(&command, variables).map_err(|e| invalid(&mut command, e))?;
    if let Some(Chosen { file, names }) = chosen(layers.under(C::command()), arguments) {
        layers.read_file(&file, &names).map_err(|e| invalid(&mut command, e))?;
    }
    let matches = layers.under(C::command()).try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| C::from_arg_matches(&matches));
    parsed.map_err(|error| layers.attribute(error, arguments))
}

/// The file that `--config` names, and the options of the subcommand that is to run.
struct Chosen {
    file: PathBuf,
    names: Vec<String>,
}

/// Looks ahead, whatever else may be wrong.
fn chosen(command: Command, arguments: &[OsString]) -> Option<Chosen> {
    let mut runs = command.clone();
    let matches = command.ignore_errors(true).try_get_matches_from(arguments).ok()?;
    let mut innermost = &matches;
    while let Some((name, inside)) = innermost.subcommand() {
        runs = runs.find_subcommand(name)?.clone();
        innermost = inside;
    }
    let file = innermost.try_get_one::<PathBuf>("config").ok()??.clone();
    let names = runs.get_arguments().filter_map(name_of).map(str::to_owned).collect();
    Some(Chosen { file, names })
}

/// An option's one name: its long flag.
fn name_of(argument: &Arg) -> Option<&str> {
    argument.get_long().filter(|name| !matches!(*name, "help" | "version"))
}

/// The names of a command's options and those of its subcommands.
fn all_names(command: &Command) -> Vec<&str> {
    let own = command.get_arguments().filter_map(name_of);
    own.chain(command.get_subcommands().flat_map(all_names)).collect()
}

fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"))
}

/// A value that is no flag, and where it stands.
#[derive(Clone, Debug)]
struct Given {
    values: Vec<String>,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    File(PathBuf),
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the configuration file {}", path.display()),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// What file and environment give, by option.
#[derive(Clone, Default, Debug)]
struct Layers {
    given: BTreeMap<String, Given>,
}

impl Layers {
    fn read_environment(&mut self, command: &Command, variables: &Variables) -> Result<(), String> {
        let own = all_names(command);
        for (variable_name, value) in variables {
            let Some(rest) = variable_name.strip_prefix(PREFIX) else { continue };
            let name = rest.to_lowercase().replace('_', "-");
            let is_written_so = variable(&name) == *variable_name;
            if is_written_so && own.contains(&name.as_str()) {
                // An empty variable is one that is not set.
                if !value.is_empty() {
                    let origin = Origin::Variable(variable_name.clone());
                    self.given.insert(name, Given { values: vec![value.clone()], origin });
                }
            } else if !is_written_so || !KNOWN_NAMES.contains(&name.as_str()) {
                let near = nearest(&name, own.iter().copied().chain(KNOWN_NAMES.iter().copied()));
                let near = near.map(|name| format!("did you mean {}? ", variable(name)));
                let near = near.unwrap_or_default();
                return Err(format!(
                    "the environment variable {variable_name} is no option of any command; fix: \
                     {near}unset {variable_name}"
                ));
            }
        }
        Ok(())
    }

    /// Adds what the file gives and the environment does not.
    fn read_file(&mut self, path: &Path, names: &[String]) -> Result<(), String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!(
                "the configuration file {shown} cannot be read: {error}; fix: name one that can \
                 be read with --config"
            )
        })?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            format!("the configuration file {shown} is not TOML; fix what is marked:\n{error}")
        })?;
        for (key, value) in table {
            if key == "config" || !names.contains(&key) {
                return Err(unknown_key(&key, path, names));
            }
            let values = values_of(&value).ok_or_else(|| {
                format!(
                    "`{key}` in the configuration file {shown} is a {}; fix: give a string, a \
                     number, true, false, or a list of these",
                    value.type_str()
                )
            })?;
            let origin = Origin::File(path.to_owned());
            self.given.entry(key).or_insert(Given { values, origin });
        }
        Ok(())
    }

    /// The command with these values as its defaults, which flags override; of one flag given
    /// twice the last counts.
    fn under(&self, command: Command) -> Command {
        let subcommands: Vec<String> =
            command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
        let command = command.args_override_self(true).mut_args(|arg| self.default_of(arg));
        subcommands
            .into_iter()
            .fold(command, |command, name| command.mut_subcommand(name, |inner| self.under(inner)))
    }

    fn default_of(&self, argument: Arg) -> Arg {
        let argument = match argument.get_action() {
            ArgAction::SetTrue => argument.value_parser(BoolishValueParser::new()),
            _ => argument,
        };
        let Some(given) = name_of(&argument).and_then(|name| self.given.get(name)) else {
            return argument;
        };
        let mut values = given.values.clone();
        if let (Some(delimiter), [one]) = (argument.get_value_delimiter(), values.as_slice()) {
            values = one.split(delimiter).map(|value| value.trim().to_owned()).collect();
        }
        argument.required(false).default_values(values)
    }

    /// Says where a refused value stands, when that is not the command line.
    fn attribute(&self, mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
        let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
            return error;
        };
        let flag = shown.split([' ', '=']).next().unwrap_or_default();
        let is_flag = |argument: &OsString| {
            let argument = argument.to_string_lossy();
            argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let given = self.given.get(flag.trim_start_matches('-'));
        if let Some(given) = given.filter(|_| !arguments.iter().any(is_flag)) {
            let place = format!("{flag} (from {})", given.origin);
            error.insert(ContextKind::InvalidArg, ContextValue::String(place));
        }
        error
    }
}

fn unknown_key(key: &str, path: &Path, names: &[String]) -> String {
    let shown = path.display();
    let near = nearest(key, names.iter().map(String::as_str).filter(|name| *name != "config"));
    let near = near.map(|name| format!("write `{name}`, or ")).unwrap_or_default();
    let cause = match KNOWN_NAMES.contains(&key) {
        true => "is not an option of this command",
        false => "is no option",
    };
    format!("`{key}` in the configuration file {shown} {cause}; fix: {near}remove it")
}

/// The values of a key as they would stand on the command line.
fn values_of(value: &toml::Value) -> Option<Vec<String>> {
    let one = |value: &toml::Value| match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    };
    match value {
        toml::Value::Array(values) => values.iter().map(one).collect(),
        value => one(value).map(|value| vec![value]),
    }
}

/// The name most like `name`, if one is like it at all.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LIKE: f64 = 0.75;
    let name = name.to_lowercase().replace('_', "-");
    let likeness = |other: &&str| strsim::jaro_winkler(&name, other);
    let best = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= LIKE).then_some(best)
}
