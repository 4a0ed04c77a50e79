//! A certificate nobody else vouches for: made here, kept in a folder so that
//! what browsers were told to trust stays the same over restarts.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};

use super::pem::{self, PemFiles};
use crate::io::sys;
use crate::proto::tls::Identity;
use crate::proto::tls_certificate::{Name, check_self_signed, is_dns_name};

const DAY_S: u64 = 86_400;
/// Browsers refuse certificates that are valid for longer than 398 days.
const LIFE_S: u64 = 397 * DAY_S;
/// Whoever starts a server in the last month gets a new one, early enough.
const LEFT_MIN_S: u64 = 30 * DAY_S;
/// Clients' clocks may be this much behind.
const CLOCK_SKEW_S: u64 = 3_600;
/// Later times cannot be written in a certificate: the year 9000.
const LATEST_S: u64 = 221_845_392_000;

/// An identity of our own, and what the operator should know about it.
pub struct Own {
    pub identity: Identity,
    pub warnings: Vec<String>,
}

/// How browsers may call this host: every address told to them, loopback, and
/// its name.
pub fn names(announced: &[IpAddr]) -> Vec<Name> {
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let mut names: Vec<Name> = Vec::new();
    let addresses = announced.iter().copied().chain(loopback);
    let hosts = ["localhost".to_string()]
        .into_iter()
        .chain(sys::host_name());
    for name in addresses
        .map(Name::Address)
        .chain(hosts.filter(|host| is_dns_name(host)).map(Name::Host))
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The identity kept in `dir` if it still does, else a new one, which is kept
/// there from now on; in memory only where `dir` cannot be written. Fails only
/// if the host has no randomness.
pub fn kept_or_new(dir: &Path, names: &[Name], now_unix_s: u64) -> Result<Own, String> {
    let now_unix_s = now_unix_s.min(LATEST_S);
    let files = PemFiles {
        certificate: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    let mut warnings = Vec::new();
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    if exists(&files.certificate) || exists(&files.key) {
        match kept(&files, names, now_unix_s) {
            Ok(identity) => {
                warnings.extend(warning_of_readers(&files.key));
                return Ok(Own { identity, warnings });
            }
            Err(why) => warnings.push(format!(
                "{why}: a new self-signed certificate is used instead; browsers that were told to \
                 trust the old one will ask again"
            )),
        }
    }
    let made = make(names, now_unix_s).map_err(|error| error.to_string())?;
    let identity = Identity::from_pem(made.certificate.as_bytes(), made.key.as_bytes());
    let identity = identity.map_err(|error| error.to_string())?;
    if let Err(error) = keep(dir, &files, &made) {
        warnings.push(format!(
            "cannot keep the self-signed certificate in tls.dir={}: {error}: it is lost when the \
             server ends, and browsers will ask again after the next start; make the folder \
             writable, or set tls.dir to one that is",
            dir.display()
        ));
    }
    Ok(Own { identity, warnings })
}

fn kept(files: &PemFiles, names: &[Name], now_unix_s: u64) -> Result<Identity, String> {
    let pair = files.read().map_err(|error| error.to_string())?;
    let times = [now_unix_s, now_unix_s + LEFT_MIN_S];
    match check_self_signed(&pair.certificate, names, &times) {
        Ok(()) => Ok(pair.identity),
        Err(why) => Err(format!("{}: {why}", files.certificate.display())),
    }
}

fn warning_of_readers(key: &Path) -> Option<String> {
    let mode = key.metadata().ok()?.mode();
    (mode & 0o077 != 0).then(|| {
        format!(
            "{}: others than its owner may read it (mode {:o}): run chmod 600 on it",
            key.display(),
            mode & 0o777
        )
    })
}

/// A certificate and its key as PEM.
struct Made {
    certificate: String,
    key: String,
}

fn make(names: &[Name], now_unix_s: u64) -> Result<Made, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "ringhall");
    params.distinguished_name = subject;
    for name in names {
        params.subject_alt_names.push(match name {
            Name::Address(address) => SanType::IpAddress(*address),
            Name::Host(host) => SanType::DnsName(host.as_str().try_into()?),
        });
    }
    let from_s = now_unix_s.saturating_sub(CLOCK_SKEW_S);
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(from_s);
    params.not_after = params.not_before + Duration::from_secs(LIFE_S);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?;
    Ok(Made {
        certificate: pem::encode("CERTIFICATE", certificate.der()),
        key: pem::encode("PRIVATE KEY", &key.serialize_der()),
    })
}

/// A crash between the two files leaves a pair that does not belong together,
/// which the next start replaces.
fn keep(dir: &Path, files: &PemFiles, made: &Made) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    write_whole(&files.key, made.key.as_bytes())?;
    write_whole(&files.certificate, made.certificate.as_bytes())
}

/// Writes a file that only its owner may read, all of it or nothing.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut options = OpenOptions::new();
        // Not through a link that somebody else left there.
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        // The process's mask may have taken bits away.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    // A process of this number may have died here before.
    let _ = std::fs::remove_file(&temporary);
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests;
