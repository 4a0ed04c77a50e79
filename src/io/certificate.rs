//! The server's DTLS identity: a fresh self-signed certificate per start. Peers
//! know it by the fingerprint in the SDP answer (RFC 8122), so nobody signs it.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

/// An ECDSA P-256 certificate and its key.
pub struct Certificate {
    /// The X.509 certificate, DER.
    pub certificate: Vec<u8>,
    /// The private key, PKCS #8 DER.
    pub key: Vec<u8>,
}

/// Makes a certificate; fails only if the host has no randomness.
pub fn certificate() -> Result<Certificate, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "ringhall");
    params.distinguished_name = name;
    let certificate = params.self_signed(&key)?;
    Ok(Certificate {
        certificate: certificate.der().to_vec(),
        key: key.serialize_der(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_p256_key_with_a_certificate_of_its_own() {
        let one = certificate().unwrap();
        let rng = ring::rand::SystemRandom::new();
        let key = ring::signature::EcdsaKeyPair::from_pkcs8(
            &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            &one.key,
            &rng,
        )
        .unwrap();
        let public = ring::signature::KeyPair::public_key(&key);
        let holds = |bytes: &[u8]| one.certificate.windows(bytes.len()).any(|w| w == bytes);
        assert!(holds(public.as_ref()));
        assert!(holds(b"ringhall"));
        assert_ne!(one.key, certificate().unwrap().key);
    }
}
