use super::*;
use crate::io::test_folder::Folder;
use crate::proto::tls_certificate::Unfit;

/// 2030-01-01, in seconds.
const NOW: u64 = 1_893_456_000;

fn here() -> Vec<Name> {
    names(&[
        "203.0.113.7".parse().unwrap(),
        "2001:db8::7".parse().unwrap(),
    ])
}

fn texts(folder: &Folder) -> [Vec<u8>; 2] {
    ["cert.pem", "key.pem"].map(|name| std::fs::read(folder.path().join("tls").join(name)).unwrap())
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

#[test]
fn loopback_and_the_host_are_named_besides_what_is_announced() {
    let names = here();
    for name in [
        "203.0.113.7",
        "2001:db8::7",
        "127.0.0.1",
        "::1",
        "localhost",
    ] {
        let count = names.iter().filter(|known| known.to_string() == name);
        assert_eq!(count.count(), 1, "{name}");
    }
    assert_eq!(
        super::names(&[[127, 0, 0, 1].into()])[0].to_string(),
        "127.0.0.1"
    );
}

#[test]
fn it_is_made_once_and_only_its_owner_reads_it() {
    let folder = Folder::new();
    let dir = folder.path().join("tls");
    let first = kept_or_new(&dir, &here(), NOW).unwrap();
    assert_eq!(first.warnings, [""; 0]);
    let kept = texts(&folder);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("cert.pem")), 0o600);
    assert_eq!(mode(&dir.join("key.pem")), 0o600);
    assert_eq!(
        std::fs::read_dir(&dir).unwrap().count(),
        2,
        "nothing is left over"
    );
    let second = kept_or_new(&dir, &here(), NOW + 360 * DAY_S).unwrap();
    assert_eq!(second.warnings, [""; 0]);
    assert_eq!(texts(&folder), kept);
    // Fewer names are no reason for a new one.
    kept_or_new(&dir, &here()[1..], NOW).unwrap();
    assert_eq!(texts(&folder), kept);
}

#[test]
fn it_names_everything_for_397_days() {
    let made = make(&here(), NOW).unwrap();
    let pem = made.certificate.as_bytes();
    let last = NOW - CLOCK_SKEW_S + LIFE_S;
    check_self_signed(pem, &here(), &[NOW - CLOCK_SKEW_S, NOW, last]).unwrap();
    for never in [NOW - CLOCK_SKEW_S - 1, last + 1] {
        let error = check_self_signed(pem, &here(), &[never]).unwrap_err();
        assert!(matches!(error, Unfit::Invalid(_)), "{error}");
    }
    for name in ["203.0.113.8", "2001:db8::8"] {
        let name = Name::Address(name.parse().unwrap());
        let error = check_self_signed(pem, std::slice::from_ref(&name), &[NOW]).unwrap_err();
        assert_eq!(error, Unfit::Misses(name));
    }
    // A clock from nowhere makes no panic.
    for now in [0, LATEST_S] {
        make(&here(), now).unwrap();
    }
    let folder = Folder::new();
    kept_or_new(&folder.path().join("tls"), &here(), u64::MAX).unwrap();
}

/// What happens to the folder, the names and the time of the next start, and
/// what it warns of.
type Case<'a> = (&'a dyn Fn(&Path), Vec<Name>, u64, &'a str);

#[test]
fn what_no_longer_does_is_replaced_with_the_reason() {
    let mut more = here();
    more.push(Name::Address([203, 0, 113, 99].into()));
    let cases: [Case<'_>; 6] = [
        (&|_| {}, more, NOW, "does not name 203.0.113.99"),
        (
            &|_| {},
            here(),
            NOW + 368 * DAY_S,
            "cert.pem: invalid peer certificate: certificate expired",
        ),
        (
            &|dir| std::fs::write(dir.join("cert.pem"), "nonsense").unwrap(),
            here(),
            NOW,
            "cert.pem: no certificate in it",
        ),
        (
            &|dir| std::fs::remove_file(dir.join("key.pem")).unwrap(),
            here(),
            NOW,
            "key.pem: No such file",
        ),
        (
            &|dir| std::fs::remove_file(dir.join("cert.pem")).unwrap(),
            here(),
            NOW,
            "cert.pem: No such file",
        ),
        (
            &|dir| {
                let other = make(&here(), NOW).unwrap();
                std::fs::write(dir.join("key.pem"), other.key).unwrap();
            },
            here(),
            NOW,
            "key.pem: ",
        ),
    ];
    for (harm, names, now, why) in cases {
        let folder = Folder::new();
        let dir = folder.path().join("tls");
        kept_or_new(&dir, &here(), NOW).unwrap();
        let [before, _] = texts(&folder);
        harm(&dir);
        let own = kept_or_new(&dir, &names, now).unwrap();
        assert_eq!(own.warnings.len(), 1);
        assert!(
            own.warnings[0].contains(why),
            "{:?} lacks {why}",
            own.warnings
        );
        assert_ne!(texts(&folder)[0], before);
        let again = kept_or_new(&dir, &names, now).unwrap();
        assert_eq!(again.warnings, [""; 0]);
    }
}

#[test]
fn a_folder_that_cannot_be_written_costs_a_warning() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let own = kept_or_new(&file.join("tls"), &here(), NOW).unwrap();
    assert_eq!(own.warnings.len(), 1);
    assert!(own.warnings[0].contains("tls.dir="), "{:?}", own.warnings);
}

#[test]
fn a_key_others_may_read_is_told() {
    let folder = Folder::new();
    let dir = folder.path().join("tls");
    kept_or_new(&dir, &here(), NOW).unwrap();
    std::fs::set_permissions(dir.join("key.pem"), Permissions::from_mode(0o644)).unwrap();
    let own = kept_or_new(&dir, &here(), NOW).unwrap();
    assert!(own.warnings[0].contains("chmod 600"), "{:?}", own.warnings);
}

#[test]
fn a_link_in_the_way_is_not_written_through() {
    let folder = Folder::new();
    let dir = folder.path().join("tls");
    std::fs::create_dir(&dir).unwrap();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, dir.join("key.pem")).unwrap();
    kept_or_new(&dir, &here(), NOW).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
    assert!(dir.join("key.pem").symlink_metadata().unwrap().is_file());
}
