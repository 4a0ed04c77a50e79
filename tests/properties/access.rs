//! Any bytes as an access token: without the key nothing passes, and what the
//! key signed passes in one spelling only, for what it says.

use ringhall::base::hash::hmac_sha256;
use ringhall::ops::access::{Access, Denial, bearer, same_token};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_800_000_000;

/// Entry of the fuzz target and of the corpus replay: the bytes are a token, a
/// token's header and claims (split at the first NUL) signed with the right
/// key and with another, and a header.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = same_token("0123456789abcdef", bearer(Some(&text)));
    check_as_token(&text);
    let (header, claims) = text.split_once('\0').unwrap_or(("", &text));
    for header in [header, r#"{"alg":"HS256"}"#] {
        check_as_contents(header, claims);
    }
}

fn check_as_token(text: &str) {
    let access = Access::with_secret(SECRET);
    let verdict = access.judge(Some(text), "r", "ann", NOW);
    if verdict.is_ok() {
        let (signed, signature) = text.rsplit_once('.').expect("a token has parts");
        let tag = hmac_sha256(SECRET, signed.as_bytes());
        assert_eq!(encode(&tag), signature, "passed without the key");
    }
    let keyless = Access::with_secret(b"").judge(Some(text), "r", "ann", NOW);
    assert!(keyless.is_err());
}

fn check_as_contents(header: &str, claims: &str) {
    let verdict = |secret: &[u8], room: &str, now: u64| {
        let token = signed(secret, header, claims);
        Access::with_secret(SECRET).judge(Some(&token), room, "ann", now)
    };
    assert!(
        verdict(b"another key of thirty-two bytes!", "r", NOW).is_err(),
        "another key passed"
    );
    let Ok(grant) = verdict(SECRET, "r", NOW) else {
        return;
    };
    let expires = grant.expires_unix_s.expect("every token expires");
    assert!(expires > NOW);
    assert_eq!(verdict(SECRET, "r", expires), Err(Denial::Expired));
    assert_eq!(verdict(SECRET, "r", expires - 1), Ok(grant));
    let other = verdict(SECRET, "another room", NOW);
    assert!(other == Err(Denial::OtherRoom) || other == Ok(grant));
}

fn signed(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = [header, claims].map(|part| encode(part.as_bytes()));
    let signed = signed.join(".");
    let tag = hmac_sha256(secret, signed.as_bytes());
    format!("{signed}.{}", encode(&tag))
}

fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut word = [0u8; 4];
        word[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(word);
        for place in 0..=group.len() {
            let sextet = bits >> (18 - 6 * place) & 63;
            text.push(char::from(ALPHABET[sextet as usize]));
        }
    }
    text
}

pub fn seeds() -> Vec<Vec<u8>> {
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    let claims = r#"{"room":"r","login":"ann","exp":1800000060,"nbf":1799999999.5,"publish":false}"#;
    let any = r#"{"room":"*","login":"*","exp":9e300}"#;
    let joined = |header: &str, claims: &str| format!("{header}\0{claims}").into_bytes();
    let none = format!(
        "{}.{}.",
        encode(br#"{"alg":"none"}"#),
        encode(any.as_bytes())
    );
    vec![
        signed(SECRET, header, claims).into_bytes(),
        signed(b"another", header, claims).into_bytes(),
        none.into_bytes(),
        joined(header, claims),
        joined(header, any),
        joined(r#"{"alg":"HS256","crit":["exp"]}"#, any),
        joined(r#"{"alg":["HS256"]}"#, any),
        br#"{"room":"r","room":"x","login":"ann","exp":1e999,"x":[[[[{}]]]]}"#.to_vec(),
        b"Bearer 0123456789abcdef".to_vec(),
    ]
}
