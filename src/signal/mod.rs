//! The room protocol as clients speak it: messages, the session behind a
//! connection, offers and answers.

pub mod client;
pub mod flash;
pub mod message;
pub mod negotiate;
pub mod session;
