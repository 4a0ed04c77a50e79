//! The server binary: reads the configuration, starts the cores, prints; and
//! looks after recordings that are files.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use ringhall::io::launch::launch;
use ringhall::io::merge::{MergeOrder, merge};
use ringhall::io::records::repair::mend;
use ringhall::load;
use ringhall::ops::config::Config;
use ringhall::ops::event::Event;

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
                .help("What to do instead of a command below [default: serve]"),
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
        .subcommand(merge_command())
        .subcommand(repair_command())
        .subcommand(load::options::command())
}

fn merge_command() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("merge")
        .about("Makes one film of a room's recordings, with ffmpeg: everybody in a grid, all voices together")
        .arg(
            Arg::new("what")
                .value_name("ROOM-OR-FILES")
                .num_args(1..)
                .required(true)
                .help("A room, whose newest recording is meant, or files"),
        )
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .required(true)
                .help("The film, like out.mp4"),
        )
        .arg(
            Arg::new("records-dir")
                .long("records-dir")
                .value_name("DIR")
                .help("Folder of recordings [default: records_dir of the configuration]"),
        )
        .arg(
            Arg::new("ffmpeg")
                .long("ffmpeg")
                .value_name("PATH")
                .default_value("ffmpeg")
                .help("The program; ffprobe is looked for beside it"),
        )
        .arg(flag("dry-run", "Prints the command instead of running it"))
        .arg(flag("overwrite", "Replaces the film if it is there already"))
}

fn repair_command() -> Command {
    Command::new("repair")
        .about("Makes recordings whole that a crash left unfinished")
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .num_args(1..)
                .required(true)
                .help("Recordings, with or without .part at the end"),
        )
}

/// Fails when joins failed or a threshold was broken, after the report.
fn run_loadtest(arguments: &ArgMatches) -> Result<(), Box<dyn Error>> {
    if arguments.get_flag("worker") {
        return load::worker::run();
    }
    let (plan, wishes) = load::options::read(arguments)?;
    match load::coordinator::run(plan, &wishes)? {
        true => Ok(()),
        false => Err("the load test did not hold".into()),
    }
}

fn run(arguments: &ArgMatches) -> Result<(), Box<dyn Error>> {
    match arguments.subcommand() {
        Some(("merge", merge)) => return run_merge(arguments, merge),
        Some(("loadtest", loadtest)) => return run_loadtest(loadtest),
        Some(("repair", repair)) => return run_repair(&texts(repair, "files")),
        _ => {}
    }
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
    Ok(Config::parse(
        text.as_deref().map(|text| (path, text)),
        &texts(arguments, "set"),
    )?)
}

/// The values of an argument that may stand several times.
fn texts(arguments: &ArgMatches, name: &str) -> Vec<String> {
    let values = arguments.get_many::<String>(name);
    values
        .map(|texts| texts.cloned().collect())
        .unwrap_or_default()
}

fn run_merge(arguments: &ArgMatches, merging: &ArgMatches) -> Result<(), Box<dyn Error>> {
    let text = |name: &str| merging.get_one::<String>(name).map(String::as_str);
    let folder = match text("records-dir") {
        Some(folder) => folder.to_owned(),
        None => read_config(arguments)?.records_dir,
    };
    let told = merge(&MergeOrder {
        what: &texts(merging, "what"),
        output: Path::new(text("output").unwrap_or_default()),
        records_dir: Path::new(&folder),
        is_dry: merging.get_flag("dry-run"),
        overwrites: merging.get_flag("overwrite"),
        ffmpeg: text("ffmpeg").unwrap_or_default(),
    })?;
    println!("{told}");
    Ok(())
}

fn run_repair(files: &[String]) -> Result<(), Box<dyn Error>> {
    let mut failed = 0;
    for file in files {
        match mend(Path::new(file)) {
            Ok(mended) => println!("{mended}"),
            Err(why) => {
                failed += 1;
                eprintln!("{file}: {why}");
            }
        }
    }
    match failed {
        0 => Ok(()),
        count => Err(format!("{count} of {} files are not repaired", files.len()).into()),
    }
}

/// In one write: other lines must not get in between.
fn print_event(event: &Event) {
    let line = format!("{event}\n");
    // Nobody to tell where the terminal is gone.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn serve(config: &Config) -> Result<(), Box<dyn Error>> {
    let launched = launch(config, print_event)?;
    for warning in &launched.warnings {
        eprintln!("warning: {warning}");
    }
    println!("{}", launched.ready);
    Ok(launched.wait()?)
}
