//! Who may enter a room: access tokens (JWT, RFC 7519, signed with HS256,
//! RFC 7515 and 7518 section 3.2) and the operator's admin token. Owns the
//! verdict and its words; keeps no list of tokens, so one can be used until it
//! expires. RFC 8725 is obeyed by having no choice: one algorithm, one key, and
//! no claim believed before its signature.

use serde_json::{Map, Value};

use crate::base::hash::{hmac_sha256, same_secret};
use crate::base::limits::{ACCESS_NOT_BEFORE_LEEWAY_S, ACCESS_TOKEN_MAX_BYTES, NAME_MAX_CHARS};

/// The claim value that stands for every room, or every login.
const ANY: &str = "*";

/// Judges access tokens under one key, or lets everybody in.
#[derive(Clone)]
pub struct Access {
    secret: Option<Vec<u8>>,
}

/// What a token allows in the room it was judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub publish: bool,
    /// To have streams recorded.
    pub record: bool,
    /// From this second since 1970 on, nothing new is allowed; `None`: never.
    pub expires_unix_s: Option<u64>,
}

/// Why a token does not open the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    Missing,
    /// Too long, not three parts, not base64url, not JSON, or a claim of the
    /// wrong type.
    Malformed,
    OtherAlgorithm,
    WrongSignature,
    Expired,
    NotYetValid,
    OtherRoom,
    OtherLogin,
}

impl Denial {
    /// What the client is told.
    pub fn info(self) -> &'static str {
        match self {
            Denial::Missing => "Access token is missing",
            Denial::Malformed => "Access token is malformed",
            Denial::OtherAlgorithm => "Access token uses another algorithm than HS256",
            Denial::WrongSignature => "Access token has a wrong signature",
            Denial::Expired => "Access token has expired",
            Denial::NotYetValid => "Access token is not valid yet",
            Denial::OtherRoom => "Access token is for another room",
            Denial::OtherLogin => "Access token is for another login",
        }
    }
}

impl Access {
    /// Everybody may do everything: no token is asked for, none is read.
    pub fn open() -> Self {
        Access { secret: None }
    }

    /// Tokens must be signed with `secret`. An empty one is no key at all, as
    /// anybody could sign with it: every token is refused.
    pub fn with_secret(secret: &[u8]) -> Self {
        Access {
            secret: Some(secret.to_vec()),
        }
    }

    /// Whether `login` may enter `room` with `token` at `now_unix_s`, seconds
    /// since 1970. Cheap checks come first, claims only after the signature.
    pub fn judge(
        &self,
        token: Option<&str>,
        room: &str,
        login: &str,
        now_unix_s: u64,
    ) -> Result<Grant, Denial> {
        self.judge_for(token, room, Some(login), now_unix_s)
    }

    /// Whether somebody may play in `room` without a login of its own: whoever
    /// holds a token of the room could join with it and see as much.
    pub fn judge_player(
        &self,
        token: Option<&str>,
        room: &str,
        now_unix_s: u64,
    ) -> Result<Grant, Denial> {
        self.judge_for(token, room, None, now_unix_s)
    }

    fn judge_for(
        &self,
        token: Option<&str>,
        room: &str,
        login: Option<&str>,
        now_unix_s: u64,
    ) -> Result<Grant, Denial> {
        let Some(secret) = &self.secret else {
            return Ok(Grant {
                publish: true,
                record: true,
                expires_unix_s: None,
            });
        };
        // A page without a token sends an empty one as often as none.
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or(Denial::Missing)?;
        if token.len() > ACCESS_TOKEN_MAX_BYTES {
            return Err(Denial::Malformed);
        }
        let claims = verified_claims(secret, token)?;
        let expires_unix_s = in_time(&claims, now_unix_s)?;
        if !names(&claims, "room", room)? {
            return Err(Denial::OtherRoom);
        }
        if let Some(login) = login
            && !names(&claims, "login", login)?
        {
            return Err(Denial::OtherLogin);
        }
        Ok(Grant {
            publish: allows(&claims, "publish", true)?,
            record: allows(&claims, "record", false)?,
            expires_unix_s: Some(expires_unix_s),
        })
    }
}

/// Whether the operator's token is `expected`, in time that depends on their
/// lengths only. No expected token is matched by nothing, not by an empty one.
pub fn same_token(expected: &str, given: Option<&str>) -> bool {
    !expected.is_empty()
        && given.is_some_and(|given| same_secret(expected.as_bytes(), given.as_bytes()))
}

/// The token of an `Authorization: Bearer` header (RFC 6750 section 2.1; the
/// scheme's case does not count, RFC 9110 section 11.1). More than visible
/// ASCII after the scheme is no token.
pub fn bearer(header: Option<&str>) -> Option<&str> {
    let (scheme, token) = header?.trim().split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

/// The claims of a JWS in compact form (RFC 7515 section 3.1), once header and
/// signature are found right.
fn verified_claims(secret: &[u8], token: &str) -> Result<Map<String, Value>, Denial> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Denial::Malformed);
    };
    check_header(&object(header)?)?;
    let signature = base64url(signature).ok_or(Denial::Malformed)?;
    let signed = [header, payload].join(".");
    let expected = hmac_sha256(secret, signed.as_bytes());
    if secret.is_empty() || !same_secret(&expected, &signature) {
        return Err(Denial::WrongSignature);
    }
    object(payload)
}

/// `alg` is a string and the one we verify with (RFC 8725 section 3.1), and
/// nothing is asked that we do not understand (RFC 7515 section 4.1.11).
fn check_header(header: &Map<String, Value>) -> Result<(), Denial> {
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(Denial::OtherAlgorithm);
    }
    if header.contains_key("crit") {
        return Err(Denial::Malformed);
    }
    Ok(())
}

/// A part that is base64url of a JSON object. Of a name written twice the last
/// counts, as RFC 7515 section 4 allows; the parser bounds nesting and refuses
/// numbers beyond a double.
fn object(part: &str) -> Result<Map<String, Value>, Denial> {
    let bytes = base64url(part).ok_or(Denial::Malformed)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Denial::Malformed),
    }
}

/// When the token expires; refused before `nbf` and from `exp` on (RFC 7519
/// sections 4.1.4 and 4.1.5). Expiry has no leeway: it is the only way a token
/// is taken back, and whoever issues one chooses a life longer than any clock
/// error. Too early a use harms nobody, so there a few seconds are given.
fn in_time(claims: &Map<String, Value>, now_unix_s: u64) -> Result<u64, Denial> {
    let expires = instant(claims, "exp", f64::floor)?.ok_or(Denial::Malformed)?;
    let not_before = instant(claims, "nbf", f64::ceil)?;
    if now_unix_s >= expires {
        return Err(Denial::Expired);
    }
    let latest = now_unix_s.saturating_add(ACCESS_NOT_BEFORE_LEEWAY_S);
    match not_before {
        Some(not_before) if latest < not_before => Err(Denial::NotYetValid),
        _ => Ok(expires),
    }
}

/// A NumericDate (RFC 7519 section 2) in whole seconds, a fraction rounded
/// toward the shorter life; beyond 64 bits counts as the end of time.
fn instant(
    claims: &Map<String, Value>,
    name: &str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, Denial> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    if let Some(whole) = value.as_u64() {
        return Ok(Some(whole));
    }
    match value.as_f64() {
        Some(seconds) if seconds >= 0.0 => Ok(Some(round(seconds) as u64)),
        _ => Err(Denial::Malformed),
    }
}

/// Whether claim `claim` names `wanted`; a token that names none is for none.
fn names(claims: &Map<String, Value>, claim: &str, wanted: &str) -> Result<bool, Denial> {
    match claims.get(claim) {
        None => Ok(false),
        Some(Value::String(name)) if name.chars().count() <= NAME_MAX_CHARS => {
            Ok(name == ANY || name == wanted)
        }
        Some(_) => Err(Denial::Malformed),
    }
}

fn allows(claims: &Map<String, Value>, claim: &str, default: bool) -> Result<bool, Denial> {
    match claims.get(claim) {
        None => Ok(default),
        Some(Value::Bool(allowed)) => Ok(*allowed),
        Some(_) => Err(Denial::Malformed),
    }
}

/// Strict base64url (RFC 4648 section 5): no padding, no other character, and
/// no bits beyond the last byte, so that no two texts mean the same bytes.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            bits = bits << 6 | u32::from(sextet(*byte)?);
        }
        // Two characters carry one byte and 4 bits of zero, three two and 2.
        let (bits, len_bytes) = match group.len() {
            4 => (bits, 3),
            3 if bits & 0b11 == 0 => (bits << 6, 2),
            2 if bits & 0b1111 == 0 => (bits << 12, 1),
            _ => return None,
        };
        bytes.extend(bits.to_be_bytes().iter().skip(1).take(len_bytes));
    }
    Some(bytes)
}

fn sextet(byte: u8) -> Option<u8> {
    let (first, value) = match byte {
        b'A'..=b'Z' => (b'A', 0),
        b'a'..=b'z' => (b'a', 26),
        b'0'..=b'9' => (b'0', 52),
        b'-' => (b'-', 62),
        b'_' => (b'_', 63),
        _ => return None,
    };
    byte.checked_sub(first)?.checked_add(value)
}

#[cfg(test)]
mod tests;
