//! The folder of recordings: what is served of it, and what lies in it.

pub mod desk;
pub mod files;
mod list;
pub mod repair;
mod serve;
pub mod store;

use std::path::{Path, PathBuf};

pub use list::find;

/// The folder of recordings. It need not be there: it is made when something
/// is recorded.
pub struct Records {
    root: PathBuf,
}

impl Records {
    pub fn of(root: &Path) -> Self {
        Records {
            root: root.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
