//! What holds for any bytes a stranger sends to the https port: however they
//! are split, the same is made of them; nothing is read without a handshake,
//! and a breach is answered once and ends it.

use ringhall::proto::tls::{Identity, Progress, Tls};

/// A self-signed certificate that protects nothing.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----\n\
MIIBfjCCASWgAwIBAgIUZh8ZM6XPVxkQEh2+vg/+6lvYveEwCgYIKoZIzj0EAwIw\n\
FDESMBAGA1UEAwwJc2ltdWxhdGVkMCAXDTI2MTEyMjE3MTk0OFoYDzIxMjYxMDI5\n\
MTcxOTQ4WjAUMRIwEAYDVQQDDAlzaW11bGF0ZWQwWTATBgcqhkjOPQIBBggqhkjO\n\
PQMBBwNCAASKnmbRKcS2EaVwK8mYz8g4tMKzQoKnzjvo2z+5X4SVBZktiBgDG9hd\n\
W9yYPrUl+Mm0sp63ECy8JZadU0VCIUvno1MwUTAdBgNVHQ4EFgQUUoq/QD/7ZpXN\n\
7Pq/36a/xEMBRJowHwYDVR0jBBgwFoAUUoq/QD/7ZpXN7Pq/36a/xEMBRJowDwYD\n\
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBKkPbL39emYyF7BFADaRBl\n\
W8MaLBPAuoGKPgVJsD3uzAIgEaroafPzYl5tk3Zv9MD408H/1OlfmlIvfc88FVg1\n\
sJo=\n\
-----END CERTIFICATE-----\n";
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgR0w0PiTTj+uKsQiF\n\
sAQMjENBrwrs6ZJcgJGUs9/u0hGhRANCAASKnmbRKcS2EaVwK8mYz8g4tMKzQoKn\n\
zjvo2z+5X4SVBZktiBgDG9hdW9yYPrUl+Mm0sp63ECy8JZadU0VCIUvn\n\
-----END PRIVATE KEY-----\n";

/// Entry of the fuzz target and of the corpus replay.
pub fn check(data: &[u8]) {
    let identity = Identity::from_pem(CERTIFICATE, KEY).expect("the pair above");
    let whole = progress(&identity, &[data]);
    let (one, two) = data.split_at(data.len() / 2);
    assert_eq!(progress(&identity, &[one, two]), whole);
}

fn progress(identity: &Identity, pieces: &[&[u8]]) -> Progress {
    let mut tls = Tls::new(identity).expect("the pair above serves");
    let mut plain = Vec::new();
    let mut progress = Progress::Open;
    for piece in pieces {
        progress = tls.read(piece, &mut plain);
    }
    assert!(plain.is_empty(), "nobody here knows the keys");
    assert!(tls.is_handshaking());
    tls.write(b"never said");
    let output = tls.take_output();
    assert!(!output.windows(10).any(|window| window == b"never said"));
    if progress == Progress::Broken {
        tls.write(b"never said");
        tls.close();
        assert!(tls.take_output().is_empty(), "the alert was the last word");
        assert_eq!(tls.read(b"more", &mut plain), Progress::Broken);
    }
    progress
}
