//! Every kept fuzz input passes its property under plain `cargo test`, and
//! every registered target is whole: property, fuzz target, manifest entry,
//! corpus with all its seeds.

#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

mod properties;

use std::fs;
use std::path::{Path, PathBuf};

use properties::{ALL, Property};
use ringhall::base::random::Noise;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn corpus_dir(property: &Property) -> PathBuf {
    fuzz_dir().join("corpus").join(property.name)
}

/// The inputs of a corpus, by path, in a fixed order.
fn corpus(property: &Property) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = corpus_dir(property);
    let entries = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{} has no corpus: {error}", property.name));
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.expect("a readable directory").path())
        .map(|path| {
            let bytes = fs::read(&path).expect("a readable input");
            (path, bytes)
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_kept_input_passes() {
    for property in ALL {
        if std::env::var_os("WRITE_CORPUS").is_some() {
            write_seeds(property);
        }
        let inputs = corpus(property);
        assert!(!inputs.is_empty(), "{} has an empty corpus", property.name);
        for (path, bytes) in inputs {
            println!("{}", path.display());
            (property.check)(&bytes);
        }
    }
}

fn write_seeds(property: &Property) {
    let dir = corpus_dir(property);
    fs::create_dir_all(&dir).expect("a writable checkout");
    for (number, seed) in (property.seeds)().iter().enumerate() {
        let path = dir.join(format!("seed-{number:02}"));
        fs::write(path, seed).expect("a writable checkout");
    }
}

#[test]
fn every_seed_is_kept() {
    for property in ALL {
        let inputs = corpus(property);
        for (number, seed) in (property.seeds)().iter().enumerate() {
            let kept = inputs.iter().any(|(_, bytes)| bytes == seed);
            assert!(kept, "seed {number} of {} is not kept", property.name);
        }
    }
}

/// Changed inputs one property is tried with: enough to meet every branch a
/// byte decides, few enough for every test run.
const CHANGES_MAX: usize = 6_000;

#[test]
fn every_input_passes_cut_and_with_bytes_changed() {
    for property in ALL {
        let inputs = corpus(property);
        let bytes: usize = inputs.iter().map(|(_, input)| input.len()).sum();
        let stride = (bytes * 4 / CHANGES_MAX).max(1);
        for (_, input) in inputs {
            for at in (0..input.len()).step_by(stride) {
                (property.check)(&input[..at]);
                for change in [0x01, 0x80, 0xff] {
                    let mut changed = input.clone();
                    changed[at] ^= change;
                    (property.check)(&changed);
                }
            }
        }
    }
}

#[test]
fn every_property_holds_on_recombined_inputs() {
    let mut noise = Noise::new(0x5eed);
    for property in ALL {
        let inputs: Vec<Vec<u8>> = corpus(property)
            .into_iter()
            .map(|(_, bytes)| bytes)
            .filter(|bytes| !bytes.is_empty())
            .collect();
        for _ in 0..2_000 {
            (property.check)(&recombined(&inputs, &mut noise));
        }
    }
}

/// Pieces of one to four seeds, some of their bytes overwritten.
fn recombined(seeds: &[Vec<u8>], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=noise.below(4) {
        let seed = &seeds[noise.below(seeds.len() as u64) as usize];
        let from = noise.below(seed.len() as u64) as usize * usize::from(noise.chance_ppm(500_000));
        let until = from + noise.below((seed.len() - from) as u64 + 1) as usize;
        bytes.extend(&seed[from..until]);
    }
    for _ in 0..noise.below(6) {
        if !bytes.is_empty() {
            let at = noise.below(bytes.len() as u64) as usize;
            bytes[at] = noise.next_u64() as u8;
        }
    }
    bytes
}

#[test]
fn every_property_has_its_fuzz_target() {
    let manifest = fs::read_to_string(fuzz_dir().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for property in ALL {
        let file = format!("fuzz_targets/{}.rs", property.name);
        assert!(fuzz_dir().join(&file).is_file(), "fuzz/{file} is missing");
        for line in [
            format!("name = \"{}\"", property.name),
            format!("path = \"{file}\""),
        ] {
            assert!(manifest.contains(&line), "fuzz/Cargo.toml lacks {line}");
        }
    }
    let targets = fs::read_dir(fuzz_dir().join("fuzz_targets")).expect("fuzz targets");
    assert_eq!(targets.count(), ALL.len(), "a fuzz target not in the list");
}
