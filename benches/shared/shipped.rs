//! The server as it is shipped: its own process, on free ports of the loopback.

use std::error::Error;
use std::path::Path;

use super::metrics::{Metrics, metrics};
use super::processes::Process;

pub struct Shipped {
    pub process: Process,
    /// Of pages, WebSocket and metrics.
    pub web_port: u16,
}

impl Shipped {
    /// Starts it with one core and these settings beside its own, and waits
    /// until it is ready.
    pub fn start(settings: &[&str]) -> Result<Self, Box<dyn Error>> {
        let fixed = [
            "cores=1",
            "ws.port=0",
            "wss.port=off",
            "rtmp.port=off",
            "media_port_from=0",
            "ip=127.0.0.1",
            // Everybody has the same address here.
            "rate.connections=0",
            "rate.joins=0",
        ];
        let all = fixed.iter().chain(settings);
        let arguments: Vec<&str> = all.flat_map(|set| ["--set", set]).collect();
        let program = env!("CARGO_BIN_EXE_ringhall");
        let mut process = Process::start_mute(program, &arguments, Path::new("."))?;
        let ready = process.first_line()?;
        let mut words = ready.split_whitespace();
        let web = words.find_map(|word| word.strip_prefix("ws=")?.rsplit(':').next());
        Ok(Shipped {
            process,
            web_port: web.ok_or("no port in the ready line")?.parse()?,
        })
    }

    pub fn metrics(&self) -> Result<Metrics, Box<dyn Error>> {
        metrics(self.web_port)
    }
}
