use std::collections::BTreeSet;
use std::io::Write as _;

use clap::{CommandFactory, Parser};

use super::super::{KNOWN_NAMES, Variables, try_parse};
use super::*;

#[derive(Parser, Debug)]
#[command(name = "program")]
enum Program {
    Run(Box<Run>),
    Other(Other),
}

#[derive(clap::Args, Debug)]
struct Run {
    #[command(flatten)]
    member: MemberOptions,
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct Other {
    #[arg(long)]
    seeds: u32,
}

fn run(arguments: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Run, String> {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config.write_all(file.as_bytes()).unwrap();
    let path = config.path().to_str().unwrap();
    let head =
        ["program", "run"].iter().chain(if file.is_empty() { &[][..] } else { &["--config"] });
    let head = head.copied().chain((!file.is_empty()).then_some(path));
    let line = head.chain(arguments.iter().copied()).map(Into::into).collect::<Vec<_>>();
    match try_parse(&line, &named(variables)).map_err(|error| error.to_string())? {
        Program::Run(run) => Ok(*run),
        Program::Other(other) => Err(format!("{other:?}")),
    }
}

fn named(variables: &[(&str, &str)]) -> Variables {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn builder(arguments: &[&str], variables: &[(&str, &str)], file: &str) -> Builder {
    run(arguments, variables, file).unwrap().member.builder().unwrap()
}

#[test]
fn defaults_are_the_builders() {
    let given = builder(&[], &[], "");
    assert_eq!(format!("{given:?}"), format!("{:?}", Node::builder("roundel")));
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let file = "port = 1000\n";
    let environment = [("ROUNDEL_PORT", "2000")];
    assert_eq!(builder(&[], &[], "").port, 7400);
    assert_eq!(builder(&[], &[], file).port, 1000);
    assert_eq!(builder(&[], &environment, file).port, 2000);
    assert_eq!(builder(&["--port", "3000"], &environment, file).port, 3000);
    assert_eq!(builder(&["--port", "3000"], &[], "").port, 3000);
    assert_eq!(builder(&["--port", "3000", "--port=4000"], &[], "").port, 4000);
    assert_eq!(builder(&[], &[("ROUNDEL_PORT", "")], file).port, 1000);
}

#[test]
fn the_environment_may_name_the_file() {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config.write_all(b"cluster = 'filed'\njson = true\n").unwrap();
    let run = run(&[], &[("ROUNDEL_CONFIG", config.path().to_str().unwrap())], "").unwrap();
    assert_eq!(run.member.cluster(), "filed");
    assert!(run.json);
}

#[test]
fn lists_are_replaced_and_not_joined() {
    let file = "mode = 'unicast'\npeer = ['10.0.0.1', '10.0.0.2:99']\n";
    let peers = |builder: Builder| -> Vec<String> {
        builder.peers.unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(peers(builder(&[], &[], file)), ["10.0.0.1:7401", "10.0.0.2:99"]);
    let environment = [("ROUNDEL_PEER", "10.0.0.3,10.0.0.4")];
    assert_eq!(peers(builder(&[], &environment, file)), ["10.0.0.3:7401", "10.0.0.4:7401"]);
    assert_eq!(peers(builder(&["--peer", "10.0.0.5"], &environment, file)), ["10.0.0.5:7401"]);
    let both = ["--peer", "10.0.0.5", "10.0.0.6", "--peer", "10.0.0.7"];
    assert_eq!(peers(builder(&both, &[], file)).len(), 3);
}

#[test]
fn an_unknown_key_is_an_error_with_a_proposal() {
    for (file, proposal) in [
        ("token_timeout = '1s'", "write `token-timeout`"),
        ("clutser = 'x'", "write `cluster`"),
        ("zzz = 1", "fix: remove it"),
        ("seeds = 3", "is not an option of this command"),
        ("config = 'x'", "remove it"),
        ("[cluster]\nx = 1", "is a table"),
        ("port = ", "is not TOML"),
    ] {
        let error = run(&[], &[], file).unwrap_err();
        assert!(error.contains(proposal), "{file}: {error}");
    }
    let error = run(&["--config", "/no/such/file"], &[], "").unwrap_err();
    assert!(error.contains("/no/such/file cannot be read") && error.contains("fix:"), "{error}");
}

#[test]
fn an_unknown_variable_is_an_error_and_one_of_another_command_is_not() {
    let error = run(&[], &[("ROUNDEL_PROT", "1")], "").unwrap_err();
    assert!(error.contains("ROUNDEL_PROT") && error.contains("ROUNDEL_PORT"), "{error}");
    assert!(run(&[], &[("ROUNDEL_Port", "1")], "").is_err());
    assert!(run(&[], &[("ROUNDEL_SEEDS", "1"), ("ROUNDEL_RATE", "max")], "").is_ok());
    assert!(run(&[], &[("ROUNDELAY", "1")], "").is_ok());
}

#[test]
fn a_required_option_may_come_from_the_environment() {
    let line = ["program".into(), "other".into()];
    assert!(try_parse::<Program>(&line, &named(&[])).is_err());
    let parsed: Program = try_parse(&line, &named(&[("ROUNDEL_SEEDS", "7")])).unwrap();
    assert!(matches!(parsed, Program::Other(Other { seeds: 7 })));
}

#[test]
fn a_refused_value_says_where_it_stands() {
    let error = run(&[], &[("ROUNDEL_PORT", "x")], "").unwrap_err();
    assert!(error.contains("variable ROUNDEL_PORT"), "{error}");
    let error = run(&[], &[], "hold = 'x'").unwrap_err();
    assert!(error.contains("configuration file") && error.contains("--hold"), "{error}");
    let error = run(&["--port=x"], &[], "port = 1").unwrap_err();
    assert!(!error.contains("configuration file"), "{error}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let refused =
        |arguments: &[&str]| run(arguments, &[], "").unwrap().member.builder().unwrap_err();
    assert_eq!(refused(&["--peer", "10.0.0.1"]), OptionsError::PeersWithoutUnicast);
    assert_eq!(refused(&["--mode", "unicast"]), OptionsError::UnicastWithoutPeers);
    let raw = ["--socket", "raw", "--mode", "unicast", "--peer", "10.0.0.1"];
    assert_eq!(refused(&raw), OptionsError::RawUnicast);
    assert_eq!(refused(&["--raw-protocol", "253"]), OptionsError::ProtocolWithoutRaw);
    assert!(run(&["--raw-protocol", "17", "--socket", "raw"], &[], "").is_err());
    assert_eq!(refused(&["--cluster", ""]), OptionsError::NoCluster);
}

#[test]
fn tunables_follow_the_one_that_bounds_them() {
    let params = builder(&["--token-timeout", "40ms", "--join-interval", "1s"], &[], "").params;
    assert_eq!(params.validate(), Ok(()));
    assert_eq!(params.hold, Duration::from_millis(10));
    let params = builder(&["--backlog-size", "8MiB", "--window", "64"], &[], "").params;
    assert_eq!((params.backlog_bytes, params.window_packets), (8 << 20, 64));
}

#[test]
fn every_option_of_a_member_is_known_to_all_commands() {
    let known: BTreeSet<&str> = KNOWN_NAMES.iter().copied().collect();
    assert_eq!(known.len(), KNOWN_NAMES.len(), "none is listed twice");
    let command = Program::command();
    let run = command.find_subcommand("run").unwrap();
    for argument in run.get_arguments().filter_map(clap::Arg::get_long) {
        assert!(argument == "help" || known.contains(argument), "{argument}");
    }
}
