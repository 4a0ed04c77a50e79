//! One publication as RTMP players get it: messages with FLV bodies, and of
//! those what a late player needs to begin: metadata, sequence headers, and
//! everything since the last key frame.

use bytes::Bytes;

use crate::proto::gop_cache::GopCache;

/// One message of a stream, as RTMP carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub kind: TagKind,
    /// Which players it is for.
    pub audience: Audience,
    /// Milliseconds of the stream, never wrapping; on the wire its low 32 bits.
    pub timestamp_ms: u64,
    /// FLV tag body.
    pub body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagKind {
    Metadata,
    AudioHeader,
    Audio,
    VideoHeader,
    KeyFrame,
    Frame,
}

/// Sound may exist twice: as browsers send it, and converted for players that
/// do not know Opus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    All,
    /// Players that said they take Opus (Enhanced RTMP).
    Opus,
    /// The others.
    Legacy,
}

impl Audience {
    pub fn includes(self, accepts_opus: bool) -> bool {
        match self {
            Audience::All => true,
            Audience::Opus => accepts_opus,
            Audience::Legacy => !accepts_opus,
        }
    }
}

impl Tag {
    pub fn is_video(&self) -> bool {
        matches!(
            self.kind,
            TagKind::VideoHeader | TagKind::KeyFrame | TagKind::Frame
        )
    }

    pub fn is_audio(&self) -> bool {
        matches!(self.kind, TagKind::AudioHeader | TagKind::Audio)
    }

    pub fn is_key(&self) -> bool {
        self.kind == TagKind::KeyFrame
    }

    pub fn is_header(&self) -> bool {
        matches!(self.kind, TagKind::AudioHeader | TagKind::VideoHeader)
    }
}

#[derive(Default)]
pub struct Feed {
    metadata: Option<Tag>,
    video_header: Option<Tag>,
    /// At most one for each audience.
    audio_headers: Vec<Tag>,
    recent: GopCache<Tag>,
    newest_ms: u64,
}

impl Feed {
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers of a message what late players need.
    pub fn remember(&mut self, tag: &Tag) {
        self.newest_ms = self.newest_ms.max(tag.timestamp_ms);
        match tag.kind {
            TagKind::Metadata => self.metadata = Some(tag.clone()),
            TagKind::VideoHeader => {
                // What was shown so far cannot be decoded with the new one.
                if self.video_header.as_ref().map(|old| &old.body) != Some(&tag.body) {
                    self.recent.clear();
                }
                self.video_header = Some(tag.clone());
            }
            TagKind::AudioHeader => {
                // Sound for everybody is another than sound in two codecs.
                let goes_with_it = |old: &Tag| {
                    let audiences = [old.audience, tag.audience];
                    old.audience != tag.audience && !audiences.contains(&Audience::All)
                };
                self.audio_headers.retain(goes_with_it);
                self.audio_headers.push(tag.clone());
            }
            TagKind::Audio | TagKind::KeyFrame | TagKind::Frame => {
                self.recent
                    .push(tag.is_key(), tag.timestamp_ms, tag.clone(), tag.body.len());
            }
        }
    }

    /// What a player gets who joins now, in order.
    pub fn start(&self, accepts_opus: bool) -> Vec<Tag> {
        let recent = || {
            let for_it = |tag: &&Tag| tag.audience.includes(accepts_opus);
            self.recent.iter().filter(for_it)
        };
        let begins_ms = recent()
            .next()
            .map_or(self.newest_ms, |tag| tag.timestamp_ms);
        let headers = self.metadata.iter().chain(&self.video_header);
        let headers = headers.chain(&self.audio_headers);
        let headers = headers
            .filter(|tag| tag.audience.includes(accepts_opus))
            .map(|tag| Tag {
                timestamp_ms: begins_ms,
                ..tag.clone()
            });
        headers.chain(recent().cloned()).collect()
    }

    /// Milliseconds of the stream at its newest message.
    pub fn newest_ms(&self) -> u64 {
        self.newest_ms
    }

    /// Whether pictures can begin for a player who joins now.
    pub fn has_key_frame(&self) -> bool {
        self.recent.iter().any(Tag::is_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(kind: TagKind, audience: Audience, timestamp_ms: u64, body: &'static [u8]) -> Tag {
        Tag {
            kind,
            audience,
            timestamp_ms,
            body: Bytes::from_static(body),
        }
    }

    fn bodies(feed: &Feed, accepts_opus: bool) -> Vec<(u64, Bytes)> {
        let start = feed.start(accepts_opus).into_iter();
        start.map(|tag| (tag.timestamp_ms, tag.body)).collect()
    }

    #[test]
    fn a_late_player_begins_with_headers_and_the_last_key_frame() {
        let mut feed = Feed::new();
        for (kind, audience, at, body) in [
            (TagKind::VideoHeader, Audience::All, 0, &b"H"[..]),
            (TagKind::AudioHeader, Audience::Opus, 0, b"O"),
            (TagKind::AudioHeader, Audience::Legacy, 5, b"A"),
            (TagKind::KeyFrame, Audience::All, 10, b"1"),
            (TagKind::Frame, Audience::All, 20, b"2"),
            (TagKind::KeyFrame, Audience::All, 30, b"3"),
            (TagKind::Audio, Audience::Opus, 31, b"o"),
            (TagKind::Audio, Audience::Legacy, 32, b"a"),
            (TagKind::Frame, Audience::All, 40, b"4"),
        ] {
            feed.remember(&tag(kind, audience, at, body));
        }
        let expected = |texts: &[(u64, &'static str)]| -> Vec<(u64, Bytes)> {
            let texts = texts.iter();
            texts.map(|(at, text)| (*at, Bytes::from(*text))).collect()
        };
        assert_eq!(
            bodies(&feed, true),
            expected(&[(30, "H"), (30, "O"), (30, "3"), (31, "o"), (40, "4")])
        );
        assert_eq!(
            bodies(&feed, false),
            expected(&[(30, "H"), (30, "A"), (30, "3"), (32, "a"), (40, "4")])
        );
    }

    #[test]
    fn another_header_makes_the_frames_before_it_useless() {
        let mut feed = Feed::new();
        feed.remember(&tag(TagKind::VideoHeader, Audience::All, 0, b"H"));
        feed.remember(&tag(TagKind::KeyFrame, Audience::All, 1, b"1"));
        feed.remember(&tag(TagKind::VideoHeader, Audience::All, 2, b"H"));
        assert!(feed.has_key_frame(), "the same one changes nothing");
        feed.remember(&tag(TagKind::VideoHeader, Audience::All, 3, b"I"));
        assert!(!feed.has_key_frame());
    }
}
