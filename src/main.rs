//! The server binary: reads the configuration, starts the cores, prints.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use ringhall::io::launch::launch;
use ringhall::ops::config::Config;

/// Read when it exists and `--config` names no other.
const DEFAULT_CONFIG: &str = "ringhall.properties";

fn main() -> ExitCode {
    match run(&command_line().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringhall: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command_line() -> Command {
    Command::new("ringhall")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Conferencing room server: browsers over WebRTC in one room")
        .arg(
            Arg::new("command")
                .value_parser(["serve"])
                .help("What to do [default: serve]"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("Properties file [default: ringhall.properties if present]"),
        )
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("Sets one key, over the file"),
        )
        .arg(
            Arg::new("print-config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .help("Prints the whole configuration and exits"),
        )
}

fn run(arguments: &ArgMatches) -> Result<(), Box<dyn Error>> {
    let config = read_config(arguments)?;
    if arguments.get_flag("print-config") {
        print!("{}", config.print());
        return Ok(());
    }
    serve(&config)
}

fn read_config(arguments: &ArgMatches) -> Result<Config, Box<dyn Error>> {
    let named = arguments.get_one::<String>("config");
    let path = named.map_or(DEFAULT_CONFIG, String::as_str);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("cannot read {path}: {error}").into()),
    };
    let sets: Vec<String> = arguments
        .get_many::<String>("set")
        .map(|sets| sets.cloned().collect())
        .unwrap_or_default();
    Ok(Config::parse(
        text.as_deref().map(|text| (path, text)),
        &sets,
    )?)
}

fn serve(config: &Config) -> Result<(), Box<dyn Error>> {
    let launched = launch(config, |event| eprintln!("{event}"))?;
    for warning in &launched.warnings {
        eprintln!("warning: {warning}");
    }
    println!("{}", launched.ready);
    Ok(launched.wait()?)
}
