//! Rooms of a size, everybody in them connected, and frames to play in them.

use std::error::Error;

use ringhall::base::limits::{PEERS_MAX, TURN_DATAGRAMS_MAX, VIDEO_WINDOW_PACKETS};
use ringhall::base::snapshot::Counters;
use ringhall::base::time::Span;
use ringhall::core::trains::Trains;
use ringhall::wire::codec::VideoCodec;
use ringhall::wire::demux;

use super::guest::Part;
use super::hall::{Hall, Nobody};
use super::samples::Samples;
use super::stage::{PAYLOAD_BYTES, Stage};

/// Viewers of each of many rooms.
const ROOM_VIEWERS: usize = 10;
/// Packets forwarded in one measured round, about.
const ROUND_PACKETS: usize = 32_000;
/// Guests that come in at once.
const WAVE: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// Of one room.
    Viewers,
    /// Of one publisher and ten viewers.
    Rooms,
    /// As many rooms as a core could ever have, of one publisher and as few
    /// viewers as are left for each.
    Thousands,
}

impl Grid {
    pub fn sizes(self) -> &'static [usize] {
        match self {
            Grid::Viewers => &[20, 50, 200, 500, 1_000, 2_000],
            Grid::Rooms => &[1, 10, 100, 1_000],
            Grid::Thousands => &[5_000],
        }
    }

    /// The size others are compared with, and how many times its cost is
    /// allowed.
    pub fn goal(self) -> (usize, f64) {
        match self {
            Grid::Viewers => (50, 1.25),
            Grid::Rooms => (1, 2.0),
            Grid::Thousands => (5_000, f64::NAN),
        }
    }

    /// What its sizes count.
    pub fn what(self) -> &'static str {
        match self {
            Grid::Viewers => "viewers of one room",
            Grid::Rooms => "rooms of one publisher and ten viewers",
            Grid::Thousands => "rooms of one publisher and three viewers",
        }
    }

    /// How many times the cost of the size others are compared with; NaN where
    /// that was not measured.
    pub fn of_base(self, cells: &[Cell], all: fn(&Cell) -> &Samples, cell: &Cell) -> f64 {
        let (base, _) = self.goal();
        let base = cells.iter().find(|cell| cell.size == base);
        base.map_or(f64::NAN, |base| all(cell).over(all(base)).median())
    }

    pub fn print(self, cells: &[Cell]) {
        let (base, goal) = self.goal();
        let what = self.what();
        println!("\nns of CPU per forwarded packet: median [min - p90]\n");
        println!("| {what} | core | of {base} | with the kernel | of {base} |");
        println!("|---:|---|---:|---|---:|");
        let mut worst = f64::NAN;
        for cell in cells {
            let core = self.of_base(cells, |cell| &cell.core_ns, cell);
            let kernel = self.of_base(cells, |cell| &cell.kernel_ns, cell);
            worst = worst.max(if kernel.is_nan() { core } else { kernel });
            println!(
                "| {} | {} | {core:.2} | {} | {kernel:.2} |",
                cell.size, cell.core_ns, cell.kernel_ns
            );
        }
        if !worst.is_nan() && !goal.is_nan() {
            let judgement = if worst <= goal { "met" } else { "MISSED" };
            println!("\nhighest {worst:.2}: the goal of {goal} is {judgement}");
        }
    }
}

pub struct Cell {
    pub grid: Grid,
    pub size: usize,
    /// Of all rooms.
    viewers: usize,
    pub k: usize,
    hall: Hall<Nobody>,
    /// Publishers' numbers.
    stages: Vec<(usize, Stage)>,
    pub core_ns: Samples,
    pub kernel_ns: Samples,
}

/// Datagrams of one turn: whose, and their bytes.
pub type Turn = Vec<(usize, Vec<u8>)>;

impl Cell {
    /// Connects everybody and lets the viewers' pictures begin.
    pub fn open(grid: Grid, size: usize, k: usize) -> Result<Self, Box<dyn Error>> {
        let (rooms, viewers) = match grid {
            Grid::Viewers => (1, size),
            Grid::Rooms => (size, ROOM_VIEWERS),
            Grid::Thousands => (size, PEERS_MAX as usize / size - 1),
        };
        let mut hall = Hall::new(Nobody)?;
        let mut stages = Vec::new();
        let stride = viewers + 1;
        for room in 0..rooms {
            let number = room * stride;
            let part = Part::Publisher(VideoCodec::Vp8);
            hall.enter(part, number, &format!("room {room}"));
            stages.push((number, Stage::default()));
        }
        hall.connect()?;
        for (came, number) in (0..rooms * stride).filter(|n| n % stride != 0).enumerate() {
            let room = number / stride;
            hall.enter(Part::Viewer(room * stride), number, &format!("room {room}"));
            if came % WAVE == WAVE - 1 {
                hall.connect()?;
            }
        }
        hall.connect()?;
        let mut cell = Cell {
            grid,
            size,
            viewers: rooms * viewers,
            k,
            hall,
            stages,
            core_ns: Samples::default(),
            kernel_ns: Samples::default(),
        };
        cell.begin()?;
        cell.fill_windows()?;
        Ok(cell)
    }

    /// Streams that have run for a while: what is kept of them was written to
    /// before, so that the kernel need not find memory for it.
    fn fill_windows(&mut self) -> Result<(), Box<dyn Error>> {
        for _ in 0..VIDEO_WINDOW_PACKETS / (self.frames() * self.k) {
            let mut turns = self.prepare()?;
            let mut taken = Vec::new();
            self.play(&mut turns, |trains| {
                trains.take(&mut taken);
                taken.drain(..).for_each(|train| trains.release(train));
            });
        }
        Ok(())
    }

    /// Key frames, the viewers' first reports, and a look at what arrives.
    fn begin(&mut self) -> Result<(), Box<dyn Error>> {
        self.hall.now = self.hall.now + Span::from_ms(1);
        let mut bytes = Vec::new();
        for (number, stage) in &mut self.stages {
            let publisher = self.hall.guests.get_mut(number).ok_or("nobody there")?;
            for mut packet in stage.frame(publisher, self.k, true)? {
                self.hall.receive(*number, &mut packet);
            }
        }
        let last = *self.hall.guests.keys().next_back().ok_or("nobody there")?;
        let mut taken = Vec::new();
        let remote = super::hall::path_of(last).remote;
        self.hall.finish_turn(|trains| {
            trains.take(&mut taken);
            for train in taken.drain(..) {
                let datagrams = trains.bytes(&train).chunks(train.segment_bytes);
                let media = datagrams.filter(|bytes| demux::classify(bytes) == demux::Kind::Rtp);
                if train.path.remote == remote {
                    bytes.extend(media.map(<[u8]>::to_vec));
                }
                trains.release(train);
            }
        });
        let viewer = self.hall.guests.get_mut(&last).ok_or("nobody there")?;
        let mut payload = 0;
        for packet in &mut bytes {
            let (_, opened) = viewer.open(packet)?;
            payload = opened.last().copied().unwrap_or_default();
            assert_eq!(opened.len(), PAYLOAD_BYTES, "a payload changed");
        }
        let sent = self.stages.last().map(|(_, stage)| stage.last_byte());
        if bytes.len() != self.k || Some(payload) != sent {
            return Err(format!("the last viewer got {} packets", bytes.len()).into());
        }
        let mut reports = Vec::new();
        for (number, guest) in &mut self.hall.guests {
            guest.report(&mut |bytes| {
                reports.push((*number, bytes.to_vec()));
                Ok(())
            })?;
        }
        for (number, mut report) in reports {
            self.hall.receive(number, &mut report);
        }
        self.hall.exchange()
    }

    /// The next frames of every room, turn by turn.
    pub fn prepare(&mut self) -> Result<Vec<Turn>, Box<dyn Error>> {
        let mut turns = Vec::new();
        for _ in 0..self.frames() {
            let mut turn = Vec::new();
            for (number, stage) in &mut self.stages {
                let publisher = self.hall.guests.get_mut(number).ok_or("nobody there")?;
                let frame = stage.frame(publisher, self.k, false)?;
                turn.extend(frame.into_iter().map(|packet| (*number, packet)));
                if turn.len() + self.k > TURN_DATAGRAMS_MAX {
                    turns.push(std::mem::take(&mut turn));
                }
            }
            if !turn.is_empty() {
                turns.push(turn);
            }
        }
        Ok(turns)
    }

    /// Forwards what was prepared.
    pub fn play(&mut self, turns: &mut [Turn], mut send: impl FnMut(&mut Trains)) {
        for turn in turns {
            for (number, packet) in turn {
                self.hall.receive(*number, packet);
            }
            self.hall.finish_turn(&mut send);
        }
    }

    fn frames(&self) -> usize {
        ROUND_PACKETS.div_ceil(self.viewers * self.k)
    }

    /// Packets forwarded in a round.
    pub fn packets(&self) -> usize {
        self.frames() * self.viewers * self.k
    }

    pub fn name(&self) -> String {
        match self.grid {
            Grid::Viewers => format!("{} viewers", self.size),
            Grid::Rooms | Grid::Thousands => format!("{} rooms", self.size),
        }
    }

    pub fn counters(&self) -> Counters {
        self.hall.snapshot().counters
    }

    /// Everybody leaves; what of them is still there.
    pub fn close(mut self) -> Vec<(&'static str, usize)> {
        let numbers: Vec<usize> = self.hall.guests.keys().copied().collect();
        for number in numbers {
            self.hall.leave(number);
            self.hall.finish_turn(|trains| {
                let mut taken = Vec::new();
                trains.take(&mut taken);
                taken.drain(..).for_each(|train| trains.release(train));
            });
            self.hall.out.writes.clear();
        }
        self.hall.core.leftovers()
    }
}
