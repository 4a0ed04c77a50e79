//! What cores say to each other: plain values in bounded queues.

/// One message between cores.
#[derive(Debug)]
pub enum Mail {}
