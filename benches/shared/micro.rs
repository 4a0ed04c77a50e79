//! Small pieces of work, measured one against the other: nanoseconds of CPU in
//! interleaved rounds, the ratio to the case they are compared with, and
//! instructions where valgrind is there.
//!
//! Options of every such bench, behind `--`: `--rounds N`, `--instructions`
//! (each case once more under callgrind, whose CPU has no AVX-512 and no VAES:
//! code that chooses by CPU chooses otherwise there).

use std::hint::black_box;
use std::process::{Command, ExitCode};

use super::meter::{Meter, thread_ns};
use super::samples::Samples;

const ROUNDS_USUAL: usize = 50;
/// Operations in one measured stretch: a clock read disappears in them.
const STRETCH: usize = 2_000;
/// Those counted under callgrind.
const COUNTED: usize = 100;

/// What is measured: one operation at a time.
pub trait Work {
    /// So many follow; what it makes ready for them is not measured.
    fn prepare(&mut self, _operations: usize) {}

    fn operate(&mut self);
}

impl<F: FnMut()> Work for F {
    fn operate(&mut self) {
        self();
    }
}

/// One alternative.
pub struct Case<'a> {
    name: &'static str,
    /// The case it is compared with.
    base: Option<&'static str>,
    work: Box<dyn Work + 'a>,
    ns: Samples,
}

impl<'a> Case<'a> {
    pub fn new(name: &'static str, work: impl Work + 'a) -> Self {
        Case {
            name,
            base: None,
            work: Box::new(work),
            ns: Samples::default(),
        }
    }

    pub fn against(mut self, base: &'static str) -> Self {
        self.base = Some(base);
        self
    }

    /// Callgrind counts what happens in here.
    #[inline(never)]
    fn stretch(&mut self, operations: usize) {
        for _ in 0..operations {
            black_box(&mut self.work).operate();
        }
    }
}

/// Measures all cases as the command line asks, and prints them.
pub fn run(bench: &str, mut cases: Vec<Case<'_>>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if let Some(name) = value("--count") {
        let case = cases.iter_mut().find(|case| case.name == *name);
        let case = case.expect("our own child asks for our cases");
        case.work.prepare(COUNTED);
        case.stretch(COUNTED);
        return ExitCode::SUCCESS;
    }
    let usual = if has("--bench") { ROUNDS_USUAL } else { 1 };
    let rounds = value("--rounds").and_then(|text| text.parse().ok());
    match Meter::pin() {
        Ok(meter) => println!("{bench}: {}\n", meter.describe()),
        Err(error) => println!("{bench}: not pinned: {error}\n"),
    }
    for case in &mut cases {
        case.work.prepare(STRETCH);
        case.stretch(STRETCH);
    }
    for _ in 0..rounds.unwrap_or(usual) {
        for case in &mut cases {
            case.work.prepare(STRETCH);
            let before = thread_ns();
            case.stretch(STRETCH);
            let spent = thread_ns() - before;
            case.ns.add(spent as f64 / STRETCH as f64);
        }
    }
    print(&cases, has("--instructions"));
    ExitCode::SUCCESS
}

fn print(cases: &[Case<'_>], counts: bool) {
    let instructions = if counts { " instructions |" } else { "" };
    let line = if counts { "---:|" } else { "" };
    println!("| case | ns: median [min - p90] | ratio |{instructions}");
    println!("|---|---|---|{line}");
    for case in cases {
        let base = cases.iter().find(|other| Some(other.name) == case.base);
        let ratio = base.map_or(String::new(), |base| {
            format!("{:.2} of {}", case.ns.over(&base.ns).median(), base.name)
        });
        let count = match counts {
            true => format!(" {} |", count(case.name).unwrap_or("no valgrind".into())),
            false => String::new(),
        };
        println!("| {} | {:.1} | {ratio} |{count}", case.name, case.ns);
    }
}

/// Instructions of one operation, counted in a process of its own.
fn count(case: &str) -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=*micro*stretch*"])
        .arg(program)
        .args(["--count", case])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let (_, collected) = said.split_once("Collected : ")?;
    let total: usize = collected.split_whitespace().next()?.parse().ok()?;
    Some((total / COUNTED).to_string())
}
