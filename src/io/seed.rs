//! The one source of unpredictability: everything random derives from it.

use std::io;

/// 32 bytes of system randomness.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    loop {
        // SAFETY: the kernel writes at most 32 bytes to `seed`. Up to 256 bytes
        // come whole or not at all.
        let got = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) };
        if usize::try_from(got) == Ok(seed.len()) {
            return Ok(seed);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_seeds_differ() {
        assert_ne!(super::seed().unwrap(), super::seed().unwrap());
    }
}
