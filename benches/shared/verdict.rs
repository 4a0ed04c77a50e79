//! What a bench found wrong with itself or with what it measured.

/// The checks of one run: each failure is printed and fails the process.
#[derive(Default)]
pub struct Verdict {
    passed: usize,
    failures: Vec<String>,
}

impl Verdict {
    /// Counts one check; `what` is said when it did not hold.
    pub fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            self.passed += 1;
        } else {
            self.failures.push(what());
        }
    }

    /// Prints the outcome; whether all held.
    pub fn print(&self) -> bool {
        /// A broken run breaks the same way a thousand times.
        const SHOWN: usize = 20;
        for failure in self.failures.iter().take(SHOWN) {
            println!("FAILED: {failure}");
        }
        println!(
            "checks: {} held, {} failed",
            self.passed,
            self.failures.len()
        );
        self.failures.is_empty()
    }
}
