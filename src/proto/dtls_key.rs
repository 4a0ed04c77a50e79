//! The private key behind the server's certificate, parsed once per process:
//! the DTLS crate's own provider parses it again for every connection, which
//! costs a quarter of a handshake, and signs several times slower.

// The crate holds providers and keys as shared immutable values.
#![allow(clippy::disallowed_types)]

use std::sync::Arc;

use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey,
};
use dimpl::{CryptoError, crypto};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

/// The crate's default cryptography, but signing with this ECDSA P-256 key
/// (PKCS #8 DER). `None`: it is not such a key.
///
/// The crate takes providers as `'static`, so the key is never freed: make one
/// per process.
pub(super) fn provider(private_key_der: &[u8]) -> Option<CryptoProvider> {
    // Signatures are salted from the system. They authenticate a handshake and
    // decide nothing else, so a replayed run only differs in their bytes.
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private_key_der, &random).ok()?;
    let parsed = ParsedKey(Arc::new(pair));
    Some(CryptoProvider {
        key_provider: Box::leak(Box::new(parsed)),
        ..crypto::rust_crypto::default_provider()
    })
}

#[derive(Clone, Debug)]
struct ParsedKey(Arc<EcdsaKeyPair>);

impl KeyProvider for ParsedKey {
    /// The one key there is; the bytes were read when it was parsed.
    fn load_private_key(&self, _key_der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        Ok(Box::new(self.clone()))
    }
}

impl SigningKey for ParsedKey {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        if hash != HashAlgorithm::SHA256 {
            return Err(CryptoError::InvalidPrivateKey);
        }
        let signature = self
            .0
            .sign(&SystemRandom::new(), data)
            .map_err(|_| CryptoError::InvalidPrivateKey)?;
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}
