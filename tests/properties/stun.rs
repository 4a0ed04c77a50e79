//! What holds for any bytes as a STUN request: what authenticates was made with
//! the password, and an answer to it is no larger than its attributes warrant.

use ringhall::wire::stun;

const PASSWORD: &str = "a password of 24 letters";

/// Entry of the fuzz target and of the corpus replay.
pub fn check(data: &[u8]) {
    let Ok(scanned) = stun::scan(data) else {
        return;
    };
    assert!(data.len() >= 20 && data.len().is_multiple_of(4));
    assert!(!scanned.local_ufrag.contains(':'));
    // Nobody but the holder of the password makes a tag; with 160 bits of it,
    // no fuzzer either, unless it starts from a seed we sealed.
    let Ok(request) = scanned.authenticate(PASSWORD) else {
        return;
    };
    assert!(scanned.authenticate("another password").is_err());
    let remote = "192.0.2.7:4000".parse().expect("an address");
    let answer = stun::success(&request, remote, PASSWORD).expect("an answer");
    let mapped = stun::read_success(&answer, request.transaction, PASSWORD);
    assert_eq!(mapped, Some(remote));
    assert!(answer.len() <= 64, "an answer of {} bytes", answer.len());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let request = |user: &str, controlling, nominate| {
        stun::request([7; 12], user, PASSWORD, controlling, nominate).expect("a request")
    };
    vec![
        request("server:client", true, true),
        request("server:client", true, false),
        request("server:client", false, false),
        request("a:b:c", true, true),
    ]
}
