//! The two ends of a DTLS association over virtual time: what one says reaches
//! the other after a while, through whatever weather a test makes.

// Each test file uses its own part.
#![allow(dead_code)]

pub mod records;

use std::collections::BTreeMap;
use std::time::Instant;

use ringhall::base::time::{Span, Time};
use ringhall::io::certificate::certificate;
use ringhall::proto::dtls::{Dtls, DtlsFailure, Established, Identity, MaxVersion};

pub const VERSIONS: [MaxVersion; 2] = [MaxVersion::Dtls12, MaxVersion::Dtls13];

/// One way, of every link here.
pub const LATENCY: Span = Span::from_ms(10);

pub fn identity(version: MaxVersion) -> Identity {
    let made = certificate().unwrap();
    Identity::new(made.certificate, made.key, version, Instant::now(), None).unwrap()
}

/// A datagram on its way, numbered from 0 over both directions.
pub struct Sent<'a> {
    pub number: usize,
    pub from_client: bool,
    pub bytes: &'a [u8],
}

/// What arrives for one datagram sent: any number of datagrams, each after a delay.
pub type Arrivals = Vec<(Span, Vec<u8>)>;

/// Every datagram arrives once, in order.
pub fn calm(sent: Sent<'_>) -> Arrivals {
    vec![(LATENCY, sent.bytes.to_vec())]
}

/// One end and what became of it.
pub struct End {
    pub dtls: Dtls,
    pub keys: Option<Established>,
    pub failure: Option<DtlsFailure>,
}

impl End {
    pub fn new(dtls: Dtls) -> Self {
        End {
            dtls,
            keys: None,
            failure: None,
        }
    }

    fn note(&mut self, handled: Result<(), DtlsFailure>) {
        if let Err(failure) = handled {
            self.failure.get_or_insert(failure);
        }
    }

    /// What it has to say. Keys never come twice, nor after a failure.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        match self.dtls.drain(|bytes| said.push(bytes.to_vec())) {
            Ok(None) => {}
            Ok(Some(keys)) => {
                assert!(self.failure.is_none(), "keys after {:?}", self.failure);
                assert!(self.keys.replace(keys).is_none(), "keys twice");
            }
            Err(failure) => self.note(Err(failure)),
        }
        said
    }

    pub fn handle(&mut self, now: Time, bytes: &[u8]) {
        let handled = self.dtls.handle(now, bytes);
        self.note(handled);
    }

    fn settled(&self) -> bool {
        self.keys.is_some() || self.failure.is_some()
    }

    fn due(&self) -> Option<Time> {
        self.dtls.deadline().filter(|_| self.failure.is_none())
    }
}

/// A client and a server, and the datagrams between them.
pub struct Pair {
    pub client: End,
    pub server: End,
    pub now: Time,
    /// Datagrams sent so far.
    pub sent: usize,
    pub largest_bytes: usize,
    flying: BTreeMap<(Time, usize), (bool, Vec<u8>)>,
    launched: usize,
}

impl Pair {
    /// Both expect each other's certificate.
    pub fn new(client: &Identity, server: &Identity) -> Self {
        Self::expecting(
            client,
            vec![server.fingerprint],
            server,
            vec![client.fingerprint],
        )
    }

    pub fn expecting(
        client: &Identity,
        of_server: Vec<[u8; 32]>,
        server: &Identity,
        of_client: Vec<[u8; 32]>,
    ) -> Self {
        Pair {
            client: End::new(Dtls::client(client, Time::ZERO, of_server)),
            server: End::new(Dtls::server(server, Time::ZERO, of_client)),
            now: Time::ZERO,
            sent: 0,
            largest_bytes: 0,
            flying: BTreeMap::new(),
            launched: 0,
        }
    }

    /// Runs until both ends have keys or failed, or nothing more happens before
    /// `limit`. Answers the virtual time it took.
    pub fn run(&mut self, limit: Span, mut weather: impl FnMut(Sent<'_>) -> Arrivals) -> Span {
        let start = self.now;
        // The client speaks first, without being asked.
        let handled = self.client.dtls.handle_deadline(self.now);
        self.client.note(handled);
        loop {
            self.send(&mut weather);
            if self.client.settled() && self.server.settled() {
                break;
            }
            let arrival = self.flying.keys().next().map(|(at, _)| *at);
            let next = [arrival, self.client.due(), self.server.due()];
            let Some(next) = next.into_iter().flatten().min() else {
                break;
            };
            if next > start + limit {
                break;
            }
            self.now = self.now.max(next);
            self.step();
        }
        self.now.since(start)
    }

    fn send(&mut self, weather: &mut impl FnMut(Sent<'_>) -> Arrivals) {
        for from_client in [true, false] {
            let end = if from_client {
                &mut self.client
            } else {
                &mut self.server
            };
            // A failed end is dropped by its owner.
            let said = match end.failure {
                None => end.drain(),
                Some(_) => Vec::new(),
            };
            for bytes in said {
                self.largest_bytes = self.largest_bytes.max(bytes.len());
                let number = self.sent;
                self.sent += 1;
                let sent = Sent {
                    number,
                    from_client,
                    bytes: &bytes,
                };
                for (delay, bytes) in weather(sent) {
                    let key = (self.now + delay, self.launched);
                    self.launched += 1;
                    self.flying.insert(key, (from_client, bytes));
                }
            }
        }
    }

    fn step(&mut self) {
        let now = self.now;
        for end in [&mut self.client, &mut self.server] {
            if end.due().is_some_and(|due| due <= now) {
                let handled = end.dtls.handle_deadline(now);
                end.note(handled);
            }
        }
        // One at a time: what an end says must be drained before it hears more.
        let Some(((at, _), _)) = self.flying.first_key_value() else {
            return;
        };
        if *at <= now
            && let Some((_, (to_server, bytes))) = self.flying.pop_first()
        {
            let end = if to_server {
                &mut self.server
            } else {
                &mut self.client
            };
            if end.failure.is_none() {
                end.handle(now, &bytes);
            }
        }
    }

    /// Both ends have the same keys, of the same profile and version.
    #[track_caller]
    pub fn assert_agreed(&self) -> &Established {
        let (Some(client), Some(server)) = (&self.client.keys, &self.server.keys) else {
            panic!(
                "no keys at {:?}: client {:?}, server {:?}",
                self.now, self.client.failure, self.server.failure
            );
        };
        assert_eq!(client.keying_material, server.keying_material);
        assert_eq!(client.profile, server.profile);
        assert_eq!(client.version, server.version);
        assert_eq!(server.keying_material.len(), server.profile.material_len());
        server
    }
}
