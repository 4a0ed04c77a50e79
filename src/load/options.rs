//! The command line of `ringhall loadtest`.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::load::coordinator::Wishes;
use crate::load::plan::{Dialect, Plan, video_named};
use crate::load::thresholds::Threshold;
use crate::wire::codec::VideoCodec;

const RTMP: &str = "rtmp://";

fn value(
    name: &'static str,
    shown: &'static str,
    default: &'static str,
    help: &'static str,
) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(shown)
        .default_value(default)
        .help(help)
}

fn optional(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(shown).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

pub fn command() -> Command {
    Command::new("loadtest")
        .about("Sends participants to a server, this one or another, and tells what became of them")
        .arg(value("url", "URL", "ws://localhost:8080", "The server: ws:// or wss:// for official and janus, http:// or https:// for whip, rtmp://host/application for rtmp"))
        .arg(value("dialect", "NAME", "official", "official, whip, janus or rtmp"))
        .arg(value("rooms", "N", "1", "Rooms"))
        .arg(value("publishers", "N", "1", "Publishers of each room"))
        .arg(value("viewers", "N", "10", "Participants of each room who only play"))
        .arg(optional("meeting", "N", "Instead: N participants of each room, who publish and play all others"))
        .arg(value("video", "CODEC", "h264", "h264, vp8 or none"))
        .arg(value("audio", "CODEC", "opus", "opus or none; over rtmp any sound is AAC"))
        .arg(value("bitrate-kbps", "N", "2500", "Of each publisher's video: below 1000 small pictures of 300 kbit/s are sent, else 2500"))
        .arg(value("pacing", "HOW", "burst", "burst: a frame's packets at once, as browsers send them; even: spread over its time"))
        .arg(value("joins-per-second", "N", "50", "How fast participants come"))
        .arg(value("warm-up", "SECONDS", "2", "From the last one's coming to the time that counts"))
        .arg(value("duration", "SECONDS", "10", "The time that counts"))
        .arg(value("churn", "SECONDS", "0", "Viewers leave after so long and come anew; 0: they stay"))
        .arg(value("loss-percent", "N", "0", "Datagrams lost on the way to each participant"))
        .arg(value("delay-ms", "N", "0", "By which that way is longer"))
        .arg(value("slow-readers", "N", "0", "Viewers of each process who read ten times a second only"))
        .arg(value("seed", "N", "0", "Of everything random; 0: another each time"))
        .arg(value("processes", "N", "0", "Worker processes; 0: one for each CPU but one"))
        .arg(value("token", "TOKEN", "", "Access token every participant shows"))
        .arg(value("ca", "FILE", "", "PEM file of the certificates to trust, for wss:// and https://"))
        .arg(flag("insecure", "Trusts every certificate"))
        .arg(optional("pid", "PID", "The server's process, for its CPU time and memory"))
        .arg(optional("metrics-url", "URL", "This server's /metrics, read before and after"))
        .arg(optional("json", "FILE", "Writes the report as JSON"))
        .arg(optional("html", "FILE", "Writes the report as a page"))
        .arg(value("thresholds", "LIST", "", "Conditions like delivered>=99.9,join_p99_ms<300 on the report's figures; one that is broken makes the exit code 1"))
        .arg(flag("quiet", "Prints nothing while it goes on"))
        .arg(flag("worker", "Plays a part of a plan from standard input").hide(true))
}

fn number<T: std::str::FromStr>(arguments: &ArgMatches, name: &str) -> Result<T, String> {
    let text = arguments.get_one::<String>(name).map_or("", String::as_str);
    text.parse()
        .map_err(|_| format!("--{name} takes a number, not {text}"))
}

fn text<'a>(arguments: &'a ArgMatches, name: &str) -> &'a str {
    arguments.get_one::<String>(name).map_or("", String::as_str)
}

/// The error names the option and what is wrong with it.
pub fn read(arguments: &ArgMatches) -> Result<(Plan, Wishes), String> {
    let dialect = text(arguments, "dialect");
    let video = match text(arguments, "video") {
        "none" => None,
        name => Some(video_named(name).ok_or(format!("--video {name} is not known"))?),
    };
    let sound = match text(arguments, "audio") {
        "opus" => true,
        "none" => false,
        name => return Err(format!("--audio {name} is not known")),
    };
    let even = match text(arguments, "pacing") {
        "even" => true,
        "burst" => false,
        name => return Err(format!("--pacing {name} is not known")),
    };
    let meeting = arguments.get_one::<String>("meeting").is_some();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let processes = match number(arguments, "processes")? {
        0 => cpus.saturating_sub(1).max(1) as u64,
        asked => asked,
    };
    let plan = Plan {
        url: text(arguments, "url").to_string(),
        dialect: Dialect::named(dialect).ok_or(format!("--dialect {dialect} is not known"))?,
        rooms: number::<u64>(arguments, "rooms")?.max(1),
        publishers: number(arguments, if meeting { "meeting" } else { "publishers" })?,
        viewers: if meeting {
            0
        } else {
            number(arguments, "viewers")?
        },
        meeting,
        video,
        sound,
        kbps: number(arguments, "bitrate-kbps")?,
        even,
        joins_per_second: number::<f64>(arguments, "joins-per-second")?.max(0.01),
        warm_up_s: number(arguments, "warm-up")?,
        duration_s: number(arguments, "duration")?,
        churn_s: number(arguments, "churn")?,
        loss_ppm: (number::<f64>(arguments, "loss-percent")?.clamp(0.0, 100.0) * 1e4) as u64,
        delay_ms: number(arguments, "delay-ms")?,
        slow_readers: number(arguments, "slow-readers")?,
        seed: match number(arguments, "seed")? {
            0 => crate::io::monotonic::monotonic_us(),
            asked => asked,
        },
        processes,
        token: text(arguments, "token").to_string(),
        ca: text(arguments, "ca").to_string(),
        is_insecure: arguments.get_flag("insecure"),
        start_us: 0,
    };
    judge(&plan)?;
    let file = |name: &str| arguments.get_one::<String>(name).cloned();
    let wishes = Wishes {
        pid: match file("pid") {
            Some(_) => Some(number(arguments, "pid")?),
            None => None,
        },
        metrics_url: file("metrics-url"),
        trust: plan.trust()?,
        json: file("json"),
        html: file("html"),
        thresholds: Threshold::parse_all(text(arguments, "thresholds"))?,
        is_quiet: arguments.get_flag("quiet"),
    };
    Ok((plan, wishes))
}

/// What makes no sense together.
fn judge(plan: &Plan) -> Result<(), String> {
    if plan.video.is_none() && !plan.sound {
        return Err("--video none --audio none leaves nothing to send".into());
    }
    match plan.dialect == Dialect::Rtmp || plan.url.starts_with(RTMP) {
        true => judge_rtmp(plan),
        false => Ok(()),
    }
}

/// What encoders and players have no use for is refused, not passed over.
fn judge_rtmp(plan: &Plan) -> Result<(), String> {
    let application = plan
        .url
        .strip_prefix(RTMP)
        .and_then(|rest| rest.split_once('/'))
        .map_or("", |(_, application)| application.trim_matches('/'));
    let refused = [
        (
            plan.dialect != Dialect::Rtmp,
            "--url rtmp:// is for --dialect rtmp",
        ),
        (
            application.is_empty(),
            "--dialect rtmp takes --url rtmp://host:port/application",
        ),
        (
            plan.video == Some(VideoCodec::Vp8),
            "--video vp8 does not go over RTMP: h264 or none",
        ),
        (
            plan.meeting,
            "--meeting is not for RTMP: encoders do not play",
        ),
        (
            plan.loss_ppm > 0 || plan.delay_ms > 0,
            "--loss-percent and --delay-ms are of datagrams: RTMP goes over TCP",
        ),
        (
            plan.even,
            "--pacing even is of packets: RTMP sends whole pictures",
        ),
    ];
    let found = refused.into_iter().find(|(is_so, _)| *is_so);
    found.map_or(Ok(()), |(_, why)| Err(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let all = std::iter::once("loadtest").chain(arguments.iter().copied());
        read(&command().get_matches_from(all)).map(|(plan, _)| plan)
    }

    #[test]
    fn what_rtmp_cannot_do_is_refused() {
        let rtmp = ["--dialect", "rtmp", "--url", "rtmp://a:1/live"];
        assert_eq!(plan(&rtmp).unwrap().dialect, Dialect::Rtmp);
        for (more, said) in [
            (&["--video", "vp8"][..], "vp8"),
            (&["--meeting", "3"], "meeting"),
            (&["--loss-percent", "1"], "TCP"),
            (&["--delay-ms", "1"], "TCP"),
            (&["--pacing", "even"], "whole pictures"),
        ] {
            let why = plan(&[&rtmp, more].concat()).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
        for (arguments, said) in [
            (&["--dialect", "rtmp"][..], "takes --url rtmp://"),
            (&["--dialect", "rtmp", "--url", "rtmp://a"], "application"),
            (&["--url", "rtmp://a/live"], "--dialect rtmp"),
        ] {
            let why = plan(arguments).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
    }
}
