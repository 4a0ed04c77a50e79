//! DTLS records taken apart and put together (RFC 6347 sections 4.1 and 4.2.2),
//! as far as tests must forge them.

pub const HANDSHAKE: u8 = 22;
pub const ALERT: u8 = 21;

const RECORD_HEADER_BYTES: usize = 13;
const MESSAGE_HEADER_BYTES: usize = 12;

/// One record of DTLS 1.2 form.
#[derive(Clone, Debug)]
pub struct Record {
    pub kind: u8,
    pub epoch: u16,
    pub sequence: u64,
    pub body: Vec<u8>,
}

/// One piece of a handshake message.
#[derive(Clone, Debug)]
pub struct Fragment {
    pub kind: u8,
    pub message_bytes: usize,
    pub message: u16,
    pub offset: usize,
    pub body: Vec<u8>,
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The records of a datagram; the last holds what is no such record.
pub fn records(datagram: &[u8]) -> (Vec<Record>, &[u8]) {
    let (mut found, mut rest) = (Vec::new(), datagram);
    while rest.len() >= RECORD_HEADER_BYTES && (20..=23).contains(&rest[0]) {
        let end = RECORD_HEADER_BYTES + number(&rest[11..13]) as usize;
        if end > rest.len() {
            break;
        }
        found.push(Record {
            kind: rest[0],
            epoch: number(&rest[3..5]) as u16,
            sequence: number(&rest[5..11]),
            body: rest[RECORD_HEADER_BYTES..end].to_vec(),
        });
        rest = &rest[end..];
    }
    (found, rest)
}

impl Record {
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind, 0xfe, 0xfd];
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(&self.sequence.to_be_bytes()[2..]);
        bytes.extend((self.body.len() as u16).to_be_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// The handshake messages in a plaintext record.
    pub fn fragments(&self) -> Vec<Fragment> {
        let (mut found, mut rest) = (Vec::new(), &self.body[..]);
        while rest.len() >= MESSAGE_HEADER_BYTES {
            let end = MESSAGE_HEADER_BYTES + number(&rest[9..12]) as usize;
            found.push(Fragment {
                kind: rest[0],
                message_bytes: number(&rest[1..4]) as usize,
                message: number(&rest[4..6]) as u16,
                offset: number(&rest[6..9]) as usize,
                body: rest[MESSAGE_HEADER_BYTES..end].to_vec(),
            });
            rest = &rest[end..];
        }
        found
    }
}

impl Fragment {
    /// As a plaintext record of its own.
    pub fn record(&self, sequence: u64) -> Record {
        let mut body = vec![self.kind];
        body.extend(&(self.message_bytes as u32).to_be_bytes()[1..]);
        body.extend(self.message.to_be_bytes());
        body.extend(&(self.offset as u32).to_be_bytes()[1..]);
        body.extend(&(self.body.len() as u32).to_be_bytes()[1..]);
        body.extend(&self.body);
        Record {
            kind: HANDSHAKE,
            epoch: 0,
            sequence,
            body,
        }
    }

    /// Pieces of at most `size_bytes` each.
    pub fn split(&self, size_bytes: usize) -> Vec<Fragment> {
        let pieces = self.body.chunks(size_bytes).enumerate();
        pieces
            .map(|(at, piece)| Fragment {
                offset: self.offset + at * size_bytes,
                body: piece.to_vec(),
                ..self.clone()
            })
            .collect()
    }
}

/// Every plaintext handshake message of a datagram in pieces of at most
/// `size_bytes`, every record in a datagram of its own.
pub fn split(datagram: &[u8], size_bytes: usize) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let (found, rest) = records(datagram);
    for record in found {
        if record.kind != HANDSHAKE || record.epoch != 0 {
            pieces.push(record.write());
            continue;
        }
        let fragments = record.fragments();
        let split = fragments.iter().flat_map(|f| f.split(size_bytes));
        for (at, piece) in split.enumerate() {
            // Numbers no other record has, in the order of the originals.
            pieces.push(piece.record(record.sequence << 16 | at as u64).write());
        }
    }
    if !rest.is_empty() {
        pieces.push(rest.to_vec());
    }
    pieces
}

/// A ClientHello grown to `size_bytes` by a padding extension (RFC 7685): as
/// large as a browser's with a post-quantum share.
pub fn padded_hello(datagram: &[u8], size_bytes: usize) -> Fragment {
    let (found, _) = records(datagram);
    let mut hello = found[0].fragments().remove(0);
    assert_eq!((hello.kind, hello.body.len()), (1, hello.message_bytes));
    let padding_bytes = size_bytes - 4 - hello.body.len();
    // Behind version and random: session, cookie, suites, compressions.
    let mut at = 34;
    at += 1 + usize::from(hello.body[at]);
    at += 1 + usize::from(hello.body[at]);
    at += 2 + number(&hello.body[at..at + 2]) as usize;
    at += 1 + usize::from(hello.body[at]);
    let extensions = number(&hello.body[at..at + 2]) as usize + 4 + padding_bytes;
    hello.body[at..at + 2].copy_from_slice(&(extensions as u16).to_be_bytes());
    hello.body.extend([0, 21]);
    hello.body.extend((padding_bytes as u16).to_be_bytes());
    hello.body.resize(hello.body.len() + padding_bytes, 0);
    hello.message_bytes = hello.body.len();
    hello
}
