//! Recordings of a simulated world, read strictly: every sample, what is seen
//! in it, and when it is heard.

use std::collections::BTreeMap;

use ringhall::ops::manifest::{self, Manifest};
use ringhall::record::index::Stage;
use ringhall::record::layout::TrackKind;
use ringhall::record::read::{Recording, Row, open, sample_bytes};
use ringhall::record::store::Memory;
use ringhall::sim::browser::Plan;
use ringhall::sim::disk::Disk;
use ringhall::sim::h264_content;
use ringhall::sim::publisher::{Media, Publisher};
use ringhall::sim::world::{Options, Seat, World};
use ringhall::wire::nal;

use super::sound;

/// Every stream is recorded, and the files of a room begin and end together.
pub const ALIGNED: Options = Options {
    aligned: true,
    record_all: true,
    ..Options::clean(7)
};

/// Publishes H.264, and Opus in which tones begin.
pub fn stage() -> Plan {
    let media = Media {
        sound: Some(sound::opus()),
        ..Media::H264
    };
    Plan {
        media,
        ..Plan::STAGE
    }
}

/// Watches what [`stage`] publishes.
pub fn watcher() -> Plan {
    Plan {
        publishes: false,
        plays: true,
        ..stage()
    }
}

pub fn publisher(world: &mut World, seat: Seat) -> &mut Publisher {
    let mut peers = world.browser_mut(seat).peers.iter_mut();
    peers.find_map(|peer| peer.publisher_mut()).unwrap()
}

/// When a publisher made its pictures, in microseconds of the world; none
/// before it publishes.
pub fn made(world: &World, seat: Seat) -> Vec<i64> {
    let peers = world.browser(seat).peers.iter();
    let publishers = peers.filter_map(|peer| peer.publisher());
    let frames = publishers.flat_map(|publisher| &publisher.frames);
    frames.map(|frame| frame.at.as_us() as i64).collect()
}

/// A picture of the stream itself.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub id: u32,
    /// In the file.
    pub at_us: i64,
    /// In the world.
    pub made_us: i64,
    pub is_key: bool,
}

pub struct File {
    pub memory: Memory,
    pub recording: Recording,
}

impl File {
    #[track_caller]
    pub fn of(memory: &Memory) -> File {
        let mut memory = memory.clone();
        let recording = open(&mut memory).unwrap_or_else(|why| panic!("{why:?}"));
        File { memory, recording }
    }

    pub fn is_whole(&self) -> bool {
        matches!(self.recording.stage, Stage::Whole { .. })
    }

    pub fn rows(&self, kind: TrackKind) -> Vec<Row> {
        self.recording.rows(kind).collect()
    }

    fn us(&self, kind: TrackKind, ticks: u64) -> i64 {
        let timescale = self.recording.timescale(kind).unwrap();
        (u128::from(ticks) * 1_000_000 / u128::from(timescale)) as i64
    }

    /// Where a track ends, in microseconds of the file.
    pub fn end_us(&self, kind: TrackKind) -> i64 {
        let last = self.recording.rows(kind).last();
        last.map_or(0, |row| {
            self.us(kind, row.decode_ticks + u64::from(row.sample.duration))
        })
    }

    pub fn ends_us(&self) -> [i64; 2] {
        [TrackKind::Video, TrackKind::Audio].map(|kind| self.end_us(kind))
    }

    /// Pictures of the stream itself, in order.
    pub fn seen(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for row in self.rows(TrackKind::Video) {
            let bytes = sample_bytes(&mut self.memory, &row).unwrap();
            let mut units = nal::avcc(&bytes, 4).flatten();
            if let Some(written) = units.find_map(h264_content::read) {
                assert_eq!(written.is_key, row.sample.is_sync);
                seen.push(Seen {
                    id: written.id,
                    at_us: self.us(TrackKind::Video, row.decode_ticks),
                    made_us: written.at_us as i64,
                    is_key: written.is_key,
                });
            }
        }
        seen
    }

    /// Packets of sound with when they begin, in microseconds of the file.
    pub fn packets(&mut self) -> Vec<(i64, Vec<u8>)> {
        let rows = self.rows(TrackKind::Audio);
        let mut packets = Vec::new();
        for row in &rows {
            let bytes = sample_bytes(&mut self.memory, row).unwrap();
            packets.push((self.us(TrackKind::Audio, row.decode_ticks), bytes));
        }
        packets
    }

    /// When tones are heard to begin, in microseconds of the file.
    pub fn onsets(&mut self) -> Vec<i64> {
        let packets = self.packets();
        sound::onsets(packets.iter().map(|(at, bytes)| (*at, bytes.as_slice())))
    }
}

/// Recordings by name, whole and not.
pub fn files(disk: &Disk) -> BTreeMap<String, File> {
    let files = disk.recordings();
    files
        .map(|(name, file)| (name.clone(), File::of(file)))
        .collect()
}

/// The one file of a person.
#[track_caller]
pub fn file_of(disk: &Disk, login: &str) -> File {
    let end = format!("-{login}.mp4");
    let names: Vec<&String> = disk.recordings().map(|(name, _)| name).collect();
    let mut found = disk.recordings().filter(|(name, _)| name.ends_with(&end));
    let file = File::of(found.next().unwrap_or_else(|| panic!("{names:?}")).1);
    assert!(found.next().is_none(), "{names:?}");
    assert!(file.is_whole());
    file
}

#[track_caller]
pub fn manifest(disk: &Disk) -> Manifest {
    let mut texts = disk
        .files
        .iter()
        .filter(|(name, _)| name.ends_with(".json"));
    let (_, text) = texts.next().expect("a manifest");
    assert!(texts.next().is_none(), "one manifest");
    manifest::parse(std::str::from_utf8(&text.bytes).unwrap()).unwrap()
}

/// Microseconds of the world at the file's time zero, as its pictures tell;
/// they must agree within `spread_us`.
#[track_caller]
pub fn zero_of(seen: &[Seen], spread_us: i64) -> i64 {
    let zeros: Vec<i64> = seen.iter().map(|seen| seen.made_us - seen.at_us).collect();
    let (least, most) = (zeros.iter().min().unwrap(), zeros.iter().max().unwrap());
    assert!(most - least <= spread_us, "{least} to {most}");
    *least
}
