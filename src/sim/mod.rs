//! Seeded simulation: cores under virtual time, simulated browsers around them,
//! and a network that loses, delays and damages what both say. Owns its clock
//! and every random choice; touches no socket, thread or file. The same seed
//! gives the same run, told by [`world::World::trace_hash`].

pub mod browser;
pub mod certificate;
pub mod disk;
pub mod egress;
pub mod encoder;
pub mod h264_content;
pub mod net;
pub mod oracle;
pub mod peer_connection;
pub mod player;
pub mod publisher;
pub mod rtmp_peer;
pub mod sdp;
pub mod trace;
mod turn;
pub mod viewer;
pub mod visit;
pub mod world;
