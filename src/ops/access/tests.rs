use serde_json::json;

use super::*;
use crate::base::random::Noise;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_800_000_000;

/// The key of RFC 7515 appendix A.1.1.
const RFC_KEY: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const RFC_SIGNED: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RFC_SIGNATURE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

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

fn signed_with(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(claims.as_bytes())
    );
    let tag = hmac_sha256(secret, signed.as_bytes());
    format!("{signed}.{}", encode(&tag))
}

fn token(claims: &Value) -> String {
    signed_with(
        SECRET,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        &claims.to_string(),
    )
}

fn raw_claims(claims: &str) -> String {
    signed_with(SECRET, r#"{"alg":"HS256"}"#, claims)
}

fn with_header(header: &str) -> String {
    signed_with(SECRET, header, &good().to_string())
}

fn good() -> Value {
    json!({"room": "r", "login": "ann", "exp": NOW + 60})
}

/// [`good`] with `claim` replaced.
fn but(claim: &str, value: Value) -> String {
    let mut claims = good();
    claims[claim] = value;
    token(&claims)
}

fn without(claim: &str) -> String {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(claim);
    token(&claims)
}

fn judge(token: &str) -> Result<Grant, Denial> {
    Access::with_secret(SECRET).judge(Some(token), "r", "ann", NOW)
}

#[test]
fn without_a_secret_everything_is_granted() {
    let all = Grant {
        publish: true,
        record: true,
        expires_unix_s: None,
    };
    for token in [None, Some(""), Some("nonsense")] {
        let granted = Access::open().judge(token, "r", "ann", NOW);
        assert_eq!(granted, Ok(all));
    }
}

#[test]
fn a_good_token_grants_its_claims() {
    let granted = judge(&token(&good())).unwrap();
    assert!(granted.publish);
    assert!(
        !granted.record,
        "taking up the disk is granted, not assumed"
    );
    assert!(judge(&but("record", json!(true))).unwrap().record);
    assert_eq!(granted.expires_unix_s, Some(NOW + 60));
    assert!(!judge(&but("publish", json!(false))).unwrap().publish);
    assert!(judge(&but("anything", json!({"else": [1]}))).is_ok());
}

#[test]
fn the_rfc_7515_example_has_a_right_signature() {
    let key = base64url(RFC_KEY).unwrap();
    let token = format!("{RFC_SIGNED}.{RFC_SIGNATURE}");
    let access = Access::with_secret(&key);
    let at = |now| access.judge(Some(&token), "r", "ann", now);
    assert_eq!(
        at(1_300_819_379),
        Err(Denial::OtherRoom),
        "signed and in time"
    );
    assert_eq!(at(1_300_819_380), Err(Denial::Expired));
    // The same key signs claims of ours.
    let claims = r#"{"room":"r","login":"ann","exp":1300819380}"#;
    let ours = signed_with(&key, "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}", claims);
    assert!(access.judge(Some(&ours), "r", "ann", 1_300_819_379).is_ok());
    let changed = token.replace("dBjft", "dBjfu");
    assert_eq!(
        access.judge(Some(&changed), "r", "ann", 1_300_819_379),
        Err(Denial::WrongSignature)
    );
}

/// Made by the manual's lines for openssl and Python, with a fixed expiry.
#[test]
fn tokens_of_other_tools_are_understood() {
    let access = Access::with_secret(SECRET);
    let openssl = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
        eyJyb29tIjoic3RhbmR1cCIsImxvZ2luIjoiKiIsImV4cCI6MTkwMDAwMDAwMH0.\
        jSdJArHPeCjD21yemMVir9EIEIHbg153H-aPHWxxCFA";
    let granted = access.judge(Some(openssl), "standup", "Ann", NOW).unwrap();
    assert_eq!(granted.expires_unix_s, Some(1_900_000_000));
    let python = "eyJhbGciOiAiSFMyNTYifQ.\
        eyJyb29tIjogIioiLCAibG9naW4iOiAiXHUwNDEwXHUwNDNkXHUwNDNkXHUwNDMwIiwgImV4cCI6IDE5MDAwMDAwMDAsICJwdWJsaXNoIjogZmFsc2V9.\
        hx5aePxcTX2dKXuaokucWL8rTCK6fHrx2-Q3sHJ5p4w";
    let granted = access.judge(Some(python), "any", "Анна", NOW).unwrap();
    assert!(!granted.publish);
    let other = access.judge(Some(python), "any", "Anna", NOW);
    assert_eq!(other, Err(Denial::OtherLogin));
}

#[test]
fn a_missing_token_is_told_from_a_bad_one() {
    let access = Access::with_secret(SECRET);
    assert_eq!(access.judge(None, "r", "ann", NOW), Err(Denial::Missing));
    assert_eq!(judge(""), Err(Denial::Missing));
    for bad in [
        ".", "..", "...", "a.b", "a.b.c.d", "e30.e30.", " ", "\0.\0.\0",
    ] {
        assert!(judge(bad).is_err(), "{bad:?}");
    }
    assert_eq!(judge("a.b"), Err(Denial::Malformed));
    let good = token(&good());
    for bad in [
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{good}"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        good.replacen('.', "=.", 1),
        good.replacen('.', " .", 1),
    ] {
        assert_eq!(judge(&bad), Err(Denial::Malformed), "{bad:?}");
    }
}

#[test]
fn only_hs256_will_do() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":" HS256"}"#,
        r#"{"alg":"HS256\u0000"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":{"HS256":1}}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"alg":true}"#,
        r#"{"Alg":"HS256"}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        "{}",
    ] {
        assert_eq!(
            judge(&with_header(header)),
            Err(Denial::OtherAlgorithm),
            "{header}"
        );
    }
    let unsigned = |header: &str| {
        let claims = encode(good().to_string().as_bytes());
        format!("{}.{claims}.", encode(header.as_bytes()))
    };
    assert_eq!(
        judge(&unsigned(r#"{"alg":"none"}"#)),
        Err(Denial::OtherAlgorithm)
    );
    assert_eq!(
        judge(&unsigned(r#"{"alg":"HS256"}"#)),
        Err(Denial::WrongSignature)
    );
}

#[test]
fn headers_that_are_none_or_ask_for_more_are_malformed() {
    for header in [
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"["HS256"]"#,
        r#""HS256""#,
        "",
        "{",
        r#"{"alg":"HS256"} x"#,
        r#"{"alg":"HS256"}{}"#,
    ] {
        assert_eq!(
            judge(&with_header(header)),
            Err(Denial::Malformed),
            "{header}"
        );
    }
    // What is no business of ours is left alone: it is signed.
    for header in [
        r#"{"alg":"HS256","typ":"at+jwt","kid":"../../etc/passwd"}"#,
        r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"},"jku":"http://127.0.0.1/"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
    ] {
        assert!(judge(&with_header(header)).is_ok(), "{header}");
    }
}

#[test]
fn another_key_signs_in_vain() {
    let claims = good().to_string();
    let header = r#"{"alg":"HS256"}"#;
    let mut longer = SECRET.to_vec();
    longer.push(b'!');
    let embedded = r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#;
    for forged in [
        signed_with(b"", header, &claims),
        signed_with(&longer, header, &claims),
        signed_with(&SECRET[..31], header, &claims),
        signed_with(&[0; 3], embedded, &claims),
        signed_with(b"-----BEGIN PUBLIC KEY-----", header, &claims),
    ] {
        assert_eq!(judge(&forged), Err(Denial::WrongSignature));
    }
    // Everybody has the empty key.
    let empty = signed_with(b"", header, &claims);
    let keyless = Access::with_secret(b"");
    assert_eq!(
        keyless.judge(Some(&empty), "r", "ann", NOW),
        Err(Denial::WrongSignature)
    );
}

#[test]
fn no_single_bit_may_change() {
    let good = token(&good());
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(judge(&changed).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn no_part_of_a_token_passes() {
    let good = token(&good());
    for len in 0..good.len() {
        assert!(judge(&good[..len]).is_err(), "first {len}");
        assert!(judge(&good[good.len() - len..]).is_err(), "last {len}");
    }
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let tag = base64url(signature).unwrap();
    for len in 0..tag.len() {
        let short = format!("{signed}.{}", encode(&tag[..len]));
        assert_eq!(judge(&short), Err(Denial::WrongSignature), "{len} bytes");
    }
    let long = format!("{signed}.{}", encode(&[&tag[..], &[0]].concat()));
    assert_eq!(judge(&long), Err(Denial::WrongSignature));
}

#[test]
fn parts_of_two_tokens_do_not_mix() {
    let first = token(&good());
    let second = but("room", json!("*"));
    let parts = |token: &str| -> Vec<String> { token.split('.').map(str::to_owned).collect() };
    let (first, second) = (parts(&first), parts(&second));
    let mixed = format!("{}.{}.{}", first[0], second[1], first[2]);
    assert_eq!(judge(&mixed), Err(Denial::WrongSignature));
    let swapped = format!("{}.{}.{}", first[1], first[0], first[2]);
    assert_eq!(judge(&swapped), Err(Denial::OtherAlgorithm));
}

#[test]
fn a_token_ends_at_its_second() {
    for (exp, expected) in [
        (json!(NOW + 1), Ok(NOW + 1)),
        (json!(NOW), Err(Denial::Expired)),
        (json!(NOW - 1), Err(Denial::Expired)),
        (json!(0), Err(Denial::Expired)),
        (json!(NOW as f64 + 1.5), Ok(NOW + 1)),
        (json!(NOW as f64 + 0.5), Err(Denial::Expired)),
        (json!(u64::MAX), Ok(u64::MAX)),
        (json!(1e300), Ok(u64::MAX)),
        (json!(-1), Err(Denial::Malformed)),
        (json!(-0.5), Err(Denial::Malformed)),
        (json!("1900000000"), Err(Denial::Malformed)),
        (json!(true), Err(Denial::Malformed)),
        (json!(null), Err(Denial::Malformed)),
        (json!([NOW + 60]), Err(Denial::Malformed)),
    ] {
        let found = judge(&but("exp", exp.clone())).map(|grant| grant.expires_unix_s.unwrap());
        assert_eq!(found, expected, "{exp}");
    }
    assert_eq!(judge(&without("exp")), Err(Denial::Malformed));
    let last =
        Access::with_secret(SECRET).judge(Some(&but("exp", json!(u64::MAX))), "r", "ann", u64::MAX);
    assert_eq!(last, Err(Denial::Expired));
}

#[test]
fn a_token_begins_a_little_before_its_second() {
    for (nbf, expected) in [
        (json!(NOW), None),
        (json!(NOW + 5), None),
        (json!(NOW + 6), Some(Denial::NotYetValid)),
        (json!(NOW as f64 + 4.5), None),
        (json!(NOW as f64 + 5.5), Some(Denial::NotYetValid)),
        (json!(0), None),
        (json!(u64::MAX), Some(Denial::NotYetValid)),
        (json!(1e300), Some(Denial::NotYetValid)),
        (json!(-1), Some(Denial::Malformed)),
        (json!("0"), Some(Denial::Malformed)),
        (json!(null), Some(Denial::Malformed)),
    ] {
        assert_eq!(judge(&but("nbf", nbf.clone())).err(), expected, "{nbf}");
    }
}

#[test]
fn a_token_is_for_its_room_and_login() {
    let long = "n".repeat(NAME_MAX_CHARS + 1);
    for (claim, other) in [("room", Denial::OtherRoom), ("login", Denial::OtherLogin)] {
        assert!(judge(&but(claim, json!("*"))).is_ok());
        assert_eq!(judge(&without(claim)), Err(other));
        for name in ["", "R", "r ", "ANN", "ann\0", "**", "r*", "another"] {
            assert_eq!(judge(&but(claim, json!(name))), Err(other), "{name:?}");
        }
        for value in [
            json!(null),
            json!(1),
            json!(true),
            json!(["r", "ann"]),
            json!({"*": "*"}),
            json!(long),
        ] {
            assert_eq!(
                judge(&but(claim, value.clone())),
                Err(Denial::Malformed),
                "{value}"
            );
        }
    }
    // Both wrong: the room is told first. Expired: neither is told.
    let neither = json!({"room": "x", "login": "y", "exp": NOW + 1});
    assert_eq!(judge(&token(&neither)), Err(Denial::OtherRoom));
    let late = json!({"room": "x", "login": "y", "exp": NOW});
    assert_eq!(judge(&token(&late)), Err(Denial::Expired));
}

#[test]
fn rights_are_booleans() {
    for claim in ["publish"] {
        for value in [json!("true"), json!(1), json!(null), json!([])] {
            assert_eq!(
                judge(&but(claim, value.clone())),
                Err(Denial::Malformed),
                "{claim} {value}"
            );
        }
    }
}

#[test]
fn hostile_json_is_refused_whole() {
    let nested = format!(
        r#"{{"room":"r","login":"ann","exp":9e9,"x":{}{}}}"#,
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    for claims in [
        "",
        "null",
        "[]",
        "{",
        r#"{"room":"r","login":"ann","exp":1e999}"#,
        r#"{"room":"r","login":"ann","exp":NaN}"#,
        r#"{"room":"r","login":"ann","exp":9e9,}"#,
        r#"{"room":"\ud800","login":"ann","exp":9e9}"#,
        &nested,
    ] {
        assert_eq!(
            judge(&raw_claims(claims)),
            Err(Denial::Malformed),
            "{claims}"
        );
    }
    // Of a name written twice the last counts.
    let twice = r#"{"room":"x","room":"r","login":"ann","exp":1,"exp":9000000000}"#;
    assert!(judge(&raw_claims(twice)).is_ok());
    let huge = r#"{"room":"r","login":"ann","exp":123456789012345678901234567890}"#;
    assert_eq!(
        judge(&raw_claims(huge)).unwrap().expires_unix_s,
        Some(u64::MAX)
    );
}

#[test]
fn the_length_is_bounded() {
    let padded = |len: usize| {
        let claims = format!(
            r#"{{"room":"r","login":"ann","exp":9000000000,"pad":"{}"}}"#,
            "x".repeat(len)
        );
        raw_claims(&claims)
    };
    let (fits, over) = (padded(5_900), padded(6_100));
    assert!(fits.len() <= ACCESS_TOKEN_MAX_BYTES && over.len() > ACCESS_TOKEN_MAX_BYTES);
    assert!(judge(&fits).is_ok());
    assert_eq!(judge(&over), Err(Denial::Malformed));
    assert_eq!(judge(&".".repeat(1 << 20)), Err(Denial::Malformed));
}

#[test]
fn base64url_is_strict() {
    // RFC 4648 section 10, without padding.
    for (text, bytes) in [
        ("", ""),
        ("Zg", "f"),
        ("Zm8", "fo"),
        ("Zm9v", "foo"),
        ("Zm9vYg", "foob"),
        ("Zm9vYmE", "fooba"),
        ("Zm9vYmFy", "foobar"),
    ] {
        assert_eq!(base64url(text).unwrap(), bytes.as_bytes());
        assert_eq!(encode(bytes.as_bytes()), text);
    }
    assert_eq!(base64url("-_-_").unwrap(), [0xfb, 0xff, 0xbf]);
    for bad in [
        "Z", "Zm9vY", "Zg==", "Zg=", "Zh", "Zm9", "Zm 8", "Zm8\n", "+/+/", "Zm8é", "Zm9v\0",
    ] {
        assert_eq!(base64url(bad), None, "{bad:?}");
    }
}

#[test]
fn base64url_has_one_text_per_value() {
    let mut noise = Noise::new(7);
    for round in 0..2_000u64 {
        let bytes: Vec<u8> = (0..round % 40).map(|_| noise.next_u64() as u8).collect();
        assert_eq!(base64url(&encode(&bytes)), Some(bytes));
        let text: String = (0..noise.below(12))
            .map(|_| char::from(noise.below(128) as u8))
            .collect();
        if let Some(bytes) = base64url(&text) {
            assert_eq!(encode(&bytes), text);
        }
    }
}

#[test]
fn admin_tokens_compare_whole() {
    assert!(same_token("0123456789abcdef", Some("0123456789abcdef")));
    for given in [
        None,
        Some(""),
        Some("0123456789abcde"),
        Some("0123456789abcdef0"),
        Some("0123456789ABCDEF"),
    ] {
        assert!(!same_token("0123456789abcdef", given), "{given:?}");
        assert!(!same_token("", given), "{given:?}");
    }
}

#[test]
fn bearer_headers() {
    for header in ["Bearer abc", "bearer abc", "BEARER   abc", " Bearer abc "] {
        assert_eq!(bearer(Some(header)), Some("abc"), "{header}");
    }
    for header in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearerabc"),
        Some("Basic abc"),
        Some("abc"),
        Some("Bearer a b"),
        Some("Bearer\tabc"),
        Some("Bearer é"),
    ] {
        assert_eq!(bearer(header), None, "{header:?}");
    }
}
