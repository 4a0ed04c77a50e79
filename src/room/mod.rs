//! Rooms and their media: who is a member, what they publish and play, and the
//! forwarding of every packet from one to the others.

pub mod catch_up;
pub mod fanout;
pub mod forwarding;
pub mod frames;
pub mod held;
pub mod logins;
pub mod notice;
pub mod peer;
pub mod publication;
pub mod relay;
pub mod roster;
pub mod rtmp;
pub mod subscription;
pub mod track;
