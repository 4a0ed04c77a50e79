//! The movie box (ISO/IEC 14496-12 section 8.2.1) of a recording, in its two
//! forms: before there are samples, and with all of them. Refuses, when
//! reading, what this server does not write, and durations that are not the sum
//! of their samples.

use super::layout::{Layout, TrackKind, VIDEO_TIMESCALE, VideoTrack};
use super::sample_entry::{self, OPUS};
use super::stbl::{self, Malformed, needed, number_at};
use super::table::Table;
use crate::wire::bmff::{self, boxes, write_box, write_full_box};
use crate::wire::bytes::{u16_at, u32_at};

/// Ticks in a second of the movie's own time.
const MOVIE_TIMESCALE: u64 = 1_000;

/// Which `moov` this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Of a file in fragments: no samples, and the promise of more.
    Init,
    /// Of a whole file.
    Whole,
}

/// A recording's tracks and their samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Movie {
    pub video: Option<Track>,
    pub audio: Option<Track>,
}

/// One track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    pub kind: TrackKind,
    /// Ticks in a second; never zero.
    pub timescale: u32,
    /// Of the first picture; zero of sound.
    pub width: u16,
    pub height: u16,
    /// The inside of the sample description box.
    pub stsd: Vec<u8>,
    pub table: Table,
}

/// The id of a kind's track, the same in all files.
pub(super) fn track_id(kind: TrackKind) -> u32 {
    match kind {
        TrackKind::Video => 1,
        TrackKind::Audio => 2,
    }
}

impl Track {
    fn is_opus(&self) -> bool {
        // Behind version, flags, count of entries and the entry's size.
        self.stsd.get(12..16) == Some(&OPUS[..])
    }

    /// What `ticks` of this track are in units of which a second has
    /// `per_second`, rounded up.
    fn rescaled(&self, ticks: u64, per_second: u64) -> u64 {
        let product = u128::from(ticks).saturating_mul(per_second.into());
        let whole = product.div_ceil(u128::from(self.timescale.max(1)));
        u64::try_from(whole).unwrap_or(u64::MAX)
    }
}

impl Movie {
    /// A movie of `layout` without samples.
    pub fn of(layout: &Layout) -> Movie {
        Movie {
            video: layout.video.as_ref().map(|track| {
                let (VideoTrack::H264 { width, height, .. } | VideoTrack::Vp8 { width, height }) =
                    *track;
                Track {
                    kind: TrackKind::Video,
                    timescale: VIDEO_TIMESCALE,
                    width,
                    height,
                    stsd: sample_entry::video(track),
                    table: Table::default(),
                }
            }),
            audio: layout.audio.as_ref().map(|track| Track {
                kind: TrackKind::Audio,
                timescale: track.timescale(),
                width: 0,
                height: 0,
                stsd: sample_entry::audio(track),
                table: Table::default(),
            }),
        }
    }

    /// The tracks there are.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.video.iter().chain(&self.audio)
    }

    pub fn track(&self, kind: TrackKind) -> Option<&Track> {
        match kind {
            TrackKind::Video => self.video.as_ref(),
            TrackKind::Audio => self.audio.as_ref(),
        }
    }

    pub fn track_mut(&mut self, kind: TrackKind) -> Option<&mut Track> {
        match kind {
            TrackKind::Video => self.video.as_mut(),
            TrackKind::Audio => self.audio.as_mut(),
        }
    }

    /// Samples of all tracks.
    pub fn samples(&self) -> u64 {
        self.tracks()
            .map(|track| u64::from(track.table.samples()))
            .sum()
    }

    /// Of the longest track, in units of which a second has `per_second`.
    pub fn duration(&self, per_second: u64) -> u64 {
        self.tracks()
            .map(|track| track.rescaled(track.table.end_ticks(), per_second))
            .max()
            .unwrap_or(0)
    }

    /// Appends the `moov`.
    pub fn write(&self, out: &mut Vec<u8>, form: Form) {
        write_box(out, b"moov", |out| {
            let duration = self.duration(MOVIE_TIMESCALE);
            write_times(out, b"mvhd", 0, duration, |out, duration| {
                out.extend((MOVIE_TIMESCALE as u32).to_be_bytes());
                out.extend(duration);
                // Rate 1.0, volume 1.0.
                out.extend([0, 1, 0, 0, 1, 0]);
                out.extend([0; 10]);
                out.extend(matrix());
                out.extend([0; 24]);
                let next = track_id(TrackKind::Audio).saturating_add(1);
                out.extend(next.to_be_bytes());
            });
            for track in self.tracks() {
                write_track(out, track);
            }
            if form == Form::Init {
                write_box(out, b"mvex", |out| {
                    for track in self.tracks() {
                        write_full_box(out, b"trex", 0, 0, |out| {
                            out.extend(track_id(track.kind).to_be_bytes());
                            out.extend(1u32.to_be_bytes());
                            out.extend([0; 12]);
                        });
                    }
                });
            }
        });
    }

    /// Reads the inside of a `moov` of `form`. `file_bytes` is the most that the
    /// samples can be together.
    pub fn parse(moov: &[u8], form: Form, file_bytes: u64) -> Result<Movie, Malformed> {
        let mut movie = Movie::default();
        for boxed in boxes(moov) {
            let boxed = boxed?;
            if boxed.kind != *b"trak" {
                continue;
            }
            let track = parse_track(boxed.body, file_bytes)?;
            let place = match track.kind {
                TrackKind::Video => &mut movie.video,
                TrackKind::Audio => &mut movie.audio,
            };
            if place.replace(track).is_some() {
                return Err(Malformed::Bad(*b"trak"));
            }
        }
        if movie.tracks().next().is_none() {
            return Err(Malformed::Missing(*b"trak"));
        }
        let has_fragments = bmff::only(moov, b"mvex")?.is_some();
        if has_fragments != (form == Form::Init) {
            return Err(Malformed::Bad(*b"mvex"));
        }
        if form == Form::Init && movie.samples() > 0 {
            return Err(Malformed::Bad(*b"stsz"));
        }
        let (timescale, duration) = times(moov, b"mvhd", 0)?;
        if u64::from(timescale) != MOVIE_TIMESCALE || duration != movie.duration(MOVIE_TIMESCALE) {
            return Err(Malformed::Bad(*b"mvhd"));
        }
        Ok(movie)
    }
}

/// The unity matrix, 16.16 and 2.30.
fn matrix() -> Vec<u8> {
    let rows = [0x1_0000u32, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
    rows.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// Appends a box that begins with two dates, which are not told, and has a
/// duration somewhere: version 0 where it fits 32 bits.
fn write_times(
    out: &mut Vec<u8>,
    kind: &bmff::Kind,
    flags: u32,
    duration: u64,
    rest: impl FnOnce(&mut Vec<u8>, Vec<u8>),
) {
    match u32::try_from(duration) {
        Ok(narrow) => write_full_box(out, kind, 0, flags, |out| {
            out.extend([0; 8]);
            rest(out, narrow.to_be_bytes().to_vec());
        }),
        Err(_) => write_full_box(out, kind, 1, flags, |out| {
            out.extend([0; 16]);
            rest(out, duration.to_be_bytes().to_vec());
        }),
    }
}

fn write_track(out: &mut Vec<u8>, track: &Track) {
    const ENABLED_IN_MOVIE: u32 = 3;
    let ticks = track.table.end_ticks();
    let duration = track.rescaled(ticks, MOVIE_TIMESCALE);
    write_box(out, b"trak", |out| {
        write_times(out, b"tkhd", ENABLED_IN_MOVIE, duration, |out, duration| {
            out.extend(track_id(track.kind).to_be_bytes());
            out.extend([0; 4]);
            out.extend(duration);
            out.extend([0; 12]);
            let is_audio = track.kind == TrackKind::Audio;
            out.extend([u8::from(is_audio), 0, 0, 0]);
            out.extend(matrix());
            for pixels in [track.width, track.height] {
                out.extend(pixels.to_be_bytes());
                out.extend([0; 2]);
            }
        });
        write_box(out, b"mdia", |out| {
            write_times(out, b"mdhd", 0, ticks, |out, duration| {
                const UNDETERMINED: [u8; 2] = [0x55, 0xc4];
                out.extend(track.timescale.to_be_bytes());
                out.extend(duration);
                out.extend(UNDETERMINED);
                out.extend([0; 2]);
            });
            write_full_box(out, b"hdlr", 0, 0, |out| write_handler(out, track.kind));
            write_box(out, b"minf", |out| write_media(out, track));
        });
    });
}

fn write_handler(out: &mut Vec<u8>, kind: TrackKind) {
    let (handler, name) = match kind {
        TrackKind::Video => (b"vide", b"Video\0"),
        TrackKind::Audio => (b"soun", b"Sound\0"),
    };
    out.extend([0; 4]);
    out.extend(handler);
    out.extend([0; 12]);
    out.extend(name);
}

fn write_media(out: &mut Vec<u8>, track: &Track) {
    /// The data is in this file.
    const SELF_CONTAINED: u32 = 1;
    match track.kind {
        TrackKind::Video => write_full_box(out, b"vmhd", 0, 1, |out| out.extend([0; 8])),
        TrackKind::Audio => write_full_box(out, b"smhd", 0, 0, |out| out.extend([0; 4])),
    }
    write_box(out, b"dinf", |out| {
        write_full_box(out, b"dref", 0, 0, |out| {
            out.extend(1u32.to_be_bytes());
            write_full_box(out, b"url ", 0, SELF_CONTAINED, |_| ());
        });
    });
    stbl::write(out, &track.table, &track.stsd, track.is_opus());
}

/// Timescale and duration of a `mvhd` or `mdhd`, `skipped` bytes behind the
/// dates.
fn times(body: &[u8], kind: &bmff::Kind, skipped: usize) -> Result<(u32, u64), Malformed> {
    let bad = Malformed::Bad(*kind);
    let (version, _, rest) = bmff::full(needed(body, kind)?).ok_or(bad)?;
    let dates = if version == 0 { 8 } else { 16 };
    let at = dates + skipped;
    let timescale = u32_at(rest, at).ok_or(bad)?;
    let duration = number_at(rest, version, at + 4).ok_or(bad)?;
    Ok((timescale, duration))
}

fn parse_track(trak: &[u8], file_bytes: u64) -> Result<Track, Malformed> {
    let mdia = needed(trak, b"mdia")?;
    let handler = needed(mdia, b"hdlr")?;
    let kind = match handler.get(8..12) {
        Some(b"vide") => TrackKind::Video,
        Some(b"soun") => TrackKind::Audio,
        _ => return Err(Malformed::Bad(*b"hdlr")),
    };
    let (timescale, duration) = times(mdia, b"mdhd", 0)?;
    let stbl = needed(needed(mdia, b"minf")?, b"stbl")?;
    let (stsd, table) = stbl::parse(stbl, file_bytes)?;
    if timescale == 0 || duration != table.end_ticks() {
        return Err(Malformed::Bad(*b"mdhd"));
    }
    let header = shown(trak)?;
    let track = Track {
        kind,
        timescale,
        width: header.width,
        height: header.height,
        stsd,
        table,
    };
    let shown_for = track.rescaled(duration, MOVIE_TIMESCALE);
    if (header.id, header.duration) != (track_id(kind), shown_for) {
        return Err(Malformed::Bad(*b"tkhd"));
    }
    Ok(track)
}

/// What of a track header is read.
struct Shown {
    id: u32,
    duration: u64,
    width: u16,
    height: u16,
}

fn shown(trak: &[u8]) -> Result<Shown, Malformed> {
    let bad = Malformed::Bad(*b"tkhd");
    let (version, _, rest) = bmff::full(needed(trak, b"tkhd")?).ok_or(bad)?;
    let read = || {
        let (id_at, duration_at, size_at) = match version {
            0 => (8, 16, 72),
            _ => (16, 24, 84),
        };
        Some(Shown {
            id: u32_at(rest, id_at)?,
            duration: number_at(rest, version, duration_at)?,
            width: u16_at(rest, size_at)?,
            height: u16_at(rest, size_at + 4)?,
        })
    };
    read().ok_or(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::layout::{AudioTrack, Sample};

    fn movie(video_samples: usize, audio_samples: usize) -> Movie {
        let layout = Layout {
            video: Some(VideoTrack::Vp8 {
                width: 640,
                height: 480,
            }),
            audio: Some(AudioTrack::Opus { channels: 2 }),
        };
        let mut movie = Movie::of(&layout);
        let samples = [
            (TrackKind::Video, video_samples, 3_003),
            (TrackKind::Audio, audio_samples, 960),
        ];
        for (kind, count, duration) in samples {
            let sample = Sample {
                duration,
                composition: 0,
                is_sync: true,
                size_bytes: 9,
            };
            let table = &mut movie.track_mut(kind).unwrap().table;
            table.push_chunk(48, &vec![sample; count]).unwrap();
        }
        movie
    }

    fn written(movie: &Movie, form: Form) -> Vec<u8> {
        let mut out = Vec::new();
        movie.write(&mut out, form);
        out[8..].to_vec()
    }

    #[test]
    fn both_forms_are_read_as_written() {
        let (empty, full) = (movie(0, 0), movie(30, 50));
        for (movie, form, other) in [
            (&empty, Form::Init, Form::Whole),
            (&empty, Form::Whole, Form::Init),
            (&full, Form::Whole, Form::Init),
        ] {
            let bytes = written(movie, form);
            assert_eq!(Movie::parse(&bytes, form, 1_000).as_ref(), Ok(movie));
            assert!(Movie::parse(&bytes, other, 1_000).is_err());
        }
        assert_eq!(full.duration(1_000), 1_001);
        assert_eq!(full.samples(), 80);
        // A fragmented file's first moov has no samples.
        let bytes = written(&full, Form::Init);
        let bad = Malformed::Bad(*b"stsz");
        assert_eq!(Movie::parse(&bytes, Form::Init, 1_000), Err(bad));
    }

    #[test]
    fn long_recordings_have_64_bit_times() {
        let mut long = movie(1, 1);
        let mut days = Sample {
            duration: u32::MAX,
            composition: 0,
            is_sync: true,
            size_bytes: 1,
        };
        let table = &mut long.video.as_mut().unwrap().table;
        table.push_chunk(100, &[days, days]).unwrap();
        let bytes = written(&long, Form::Whole);
        assert_eq!(Movie::parse(&bytes, Form::Whole, 1_000), Ok(long.clone()));
        assert!(long.duration(1_000) > 95_000_000);
        // In milliseconds too.
        days.duration = u32::MAX - 1;
        let many = vec![days; 100];
        long.audio.as_mut().unwrap().timescale = 8_000;
        let table = &mut long.audio.as_mut().unwrap().table;
        table.push_chunk(200, &many).unwrap();
        let bytes = written(&long, Form::Whole);
        assert_eq!(Movie::parse(&bytes, Form::Whole, 1_000), Ok(long));
    }

    #[test]
    fn durations_that_are_not_the_sum_are_refused() {
        let bytes = written(&movie(30, 50), Form::Whole);
        let mut refused = 0;
        for kind in [b"mvhd", b"tkhd", b"mdhd"] {
            let found = bytes.windows(4).position(|window| window == kind).unwrap();
            let duration = if kind == b"tkhd" { 24 } else { 20 };
            let mut changed = bytes.clone();
            changed[found + duration + 3] ^= 1;
            let parsed = Movie::parse(&changed, Form::Whole, 1_000);
            assert_eq!(parsed, Err(Malformed::Bad(*kind)));
            refused += 1;
        }
        assert_eq!(refused, 3);
    }

    #[test]
    fn cuts_never_panic_and_only_one_between_tracks_is_a_movie() {
        let bytes = written(&movie(30, 50), Form::Whole);
        let parsed = (0..bytes.len()).map(|cut| Movie::parse(&bytes[..cut], Form::Whole, 1_000));
        let movies: Vec<Movie> = parsed.flatten().collect();
        assert_eq!(movies.len(), 1);
        assert_eq!(movies[0].audio, None);
    }
}
