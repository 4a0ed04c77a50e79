//! Programs a bench runs beside itself: what they print first, what CPU time
//! they took, what they wrote, and that none outlives the bench.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running program; dropping it ends it.
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `program` in `folder`; silent, except for its errors.
    pub fn start(program: &str, arguments: &[&str], folder: &Path) -> Result<Self, Box<dyn Error>> {
        Self::start_with(program, arguments, folder, Stdio::inherit())
    }

    /// As [`Process::start`], for one that logs what is no error, too.
    pub fn start_mute(
        program: &str,
        arguments: &[&str],
        folder: &Path,
    ) -> Result<Self, Box<dyn Error>> {
        Self::start_with(program, arguments, folder, Stdio::null())
    }

    fn start_with(
        program: &str,
        arguments: &[&str],
        folder: &Path,
        errors: Stdio,
    ) -> Result<Self, Box<dyn Error>> {
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{program} cannot be run: {error}"))?;
        Ok(Process {
            name: program.to_string(),
            child,
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line it prints.
    pub fn first_line(&mut self) -> Result<String, Box<dyn Error>> {
        let name = &self.name;
        let output = self.child.stdout.take();
        let output = output.ok_or_else(|| format!("{name}: asked for its first line twice"))?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.is_empty() {
            return Err(format!("{name} ended before it was ready").into());
        }
        Ok(line)
    }

    /// Waits for its end, which is to be a success.
    pub fn finish(mut self) -> Result<(), Box<dyn Error>> {
        let status = self.child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{}: {status}", self.name).into()),
        }
    }

    /// The same; the CPU time it took from its beginning, in and outside the
    /// kernel. No other program of this bench may end meanwhile.
    pub fn finish_ns(self) -> Result<u64, Box<dyn Error>> {
        let before = ended_ns();
        self.finish()?;
        Ok(ended_ns() - before)
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> Result<(), Box<dyn Error>> {
        let id = libc::pid_t::try_from(self.child.id())?;
        // SAFETY: plain numbers; the child is not waited for yet, so the id is
        // its own.
        if unsafe { libc::kill(id, libc::SIGTERM) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        let status = self.child.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{}: {status}", self.name).into()),
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time of all its threads so far, in and outside the kernel. Threads
    /// that ended are not in it; servers keep theirs.
    pub fn cpu_ns(&self) -> Result<u64, Box<dyn Error>> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_whitespace().next();
            total += first.ok_or("an empty schedstat")?.parse::<u64>()?;
        }
        Ok(total)
    }

    /// The CPU its thread `name` is pinned to.
    pub fn cpu_of(&self, name: &str) -> Result<usize, Box<dyn Error>> {
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.trim_end() != name {
                continue;
            }
            let status = fs::read_to_string(task.join("status"))?;
            let mut lines = status.lines();
            let cpus = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            return Ok(cpus.ok_or("a thread without CPUs")?.trim().parse()?);
        }
        Err(format!("{} has no thread {name}", self.name).into())
    }

    /// Bytes it wrote to files, devices among them, so far.
    pub fn written_bytes(&self) -> Result<u64, Box<dyn Error>> {
        self.number("io", "wchar:")
    }

    /// Memory it has in use now.
    pub fn resident_kib(&self) -> Result<u64, Box<dyn Error>> {
        self.number("status", "VmRSS:")
    }

    /// The number behind `key` in a file of its folder in `/proc`.
    fn number(&self, file: &str, key: &str) -> Result<u64, Box<dyn Error>> {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next());
        let name = &self.name;
        Ok(number
            .ok_or_else(|| format!("{name}: no {key} in its {file}"))?
            .parse()?)
    }
}

/// CPU time of programs that ended and were waited for.
fn ended_ns() -> u64 {
    // SAFETY: `rusage` is plain numbers, and the kernel writes to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000;
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
