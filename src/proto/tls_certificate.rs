//! What a certificate of our own making says: whom it names and how long it
//! lasts. The other door to `rustls`, whose verifier reads it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;

/// How a client calls the server it connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    Address(IpAddr),
    /// A DNS name; see [`is_dns_name`].
    Host(String),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Address(address) => address.fmt(f),
            Name::Host(host) => f.write_str(host),
        }
    }
}

/// Why a certificate would not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It does not name this.
    Misses(Name),
    /// It is not valid at the given time, or not its own issuer; the text says
    /// which.
    Invalid(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Misses(name) => write!(f, "it does not name {name}"),
            Unfit::Invalid(why) => f.write_str(why),
        }
    }
}

/// Whether certificates can name a host so.
pub fn is_dns_name(host: &str) -> bool {
    matches!(ServerName::try_from(host), Ok(ServerName::DnsName(_)))
}

/// Whether the first certificate in `pem` signs itself, names all of `names`
/// and is valid at each of the times `at_unix_s`, seconds since 1970.
pub fn check_self_signed(pem: &[u8], names: &[Name], at_unix_s: &[u64]) -> Result<(), Unfit> {
    let invalid = |error: &dyn fmt::Display| Unfit::Invalid(error.to_string());
    let der = CertificateDer::from_pem_slice(pem).map_err(|error| invalid(&error))?;
    let certificate = ParsedCertificate::try_from(&der).map_err(|error| invalid(&error))?;
    let mut itself = RootCertStore::empty();
    itself.add(der.clone()).map_err(|error| invalid(&error))?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    for at in at_unix_s {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(*at));
        verify_server_cert_signed_by_trust_anchor(&certificate, &itself, &[], at, algorithms.all)
            .map_err(|error| invalid(&error))?;
    }
    for name in names {
        let misses = || Unfit::Misses(name.clone());
        let server_name = match name {
            Name::Address(address) => ServerName::from(*address),
            Name::Host(host) => ServerName::try_from(host.as_str()).map_err(|_| misses())?,
        };
        verify_server_name(&certificate, &server_name).map_err(|_| misses())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_told_from_others() {
        for name in ["localhost", "a.example.org", "host-7", "Upper"] {
            assert!(is_dns_name(name), "{name}");
        }
        for name in ["", "127.0.0.1", "::1", "a b", "-a", "a..b", "ä", "a/b"] {
            assert!(!is_dns_name(name), "{name}");
        }
    }

    #[test]
    fn no_bytes_are_a_certificate_by_mistake() {
        let text = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for end in 0..=text.len() {
            let checked = check_self_signed(&text[..end], &[], &[]);
            assert!(matches!(checked, Err(Unfit::Invalid(_))), "{end}");
        }
    }
}
