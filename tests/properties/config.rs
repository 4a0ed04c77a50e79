//! Configuration text from anywhere is refused or understood; what is
//! understood prints as a file that means the same.

use ringhall::ops::config::Config;

/// Up to the first NUL is a file; what follows, split at NULs, are `--set`s.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\0');
    let file = parts.next().map(|file| ("fuzz.properties", file));
    let sets: Vec<String> = parts.map(str::to_owned).collect();
    match Config::parse(file, &sets) {
        Ok(config) => {
            let printed = config.print();
            let again = Config::parse(Some(("printed", &printed)), &[]);
            assert_eq!(again.as_ref(), Ok(&config), "{printed}");
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
}
