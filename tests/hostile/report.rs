//! What a siege did to the honest player, to the server and to the enemies.

use std::{fmt, fs, time::Duration};

use farfire::{CloseCode, DisconnectReason, DropCause, LinkStats, Offence, RemoteStats, Server};

use crate::process::{REPORT, rounds};

#[derive(Debug, Clone)]
pub(crate) struct Fate {
    pub(crate) reason: DisconnectReason,
    pub(crate) stats: LinkStats,
}

impl Fate {
    pub(crate) fn remote(&self, name: &str) -> Option<&RemoteStats> {
        self.stats.remotes.iter().find(|stats| stats.remote == name)
    }

    /// Events of the remote that were dropped for this cause.
    pub(crate) fn refused(&self, name: &str, cause: DropCause) -> u64 {
        let drops = self
            .remote(name)
            .into_iter()
            .flat_map(|stats| &stats.refused);
        drops.filter(|(at, _)| *at == cause).map(|(_, n)| n).sum()
    }
}

/// Bytes of memory that this process has; its enemies are not in it.
pub(crate) fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// What a siege did to the honest player, to the server and to the enemies.
#[derive(Default)]
pub(crate) struct Report {
    attack: String,
    /// Round trips of the honest player, sorted, in each slice.
    pub(crate) war: Vec<Vec<Duration>>,
    pub(crate) peace: Vec<Vec<Duration>>,
    pub(crate) peak: usize,
    pub(crate) grown: usize,
    /// The most enemies that were there at the same time, inside or at the door.
    pub(crate) crowd: usize,
    /// The most that the server ever had waiting for one enemy.
    pub(crate) queued: usize,
    pub(crate) serving: usize,
    pub(crate) joining: usize,
    /// The most events of one remote that it kept for one enemy.
    pub(crate) held: u64,
    /// The most calls of one siege's enemies that ever ran at the same time.
    pub(crate) most_running: usize,
    /// With which codes enemies were thrown out.
    pub(crate) ends: Vec<CloseCode>,
    pub(crate) fates: Vec<Fate>,
    pub(crate) offences: Vec<(Offence, u64)>,
    sends: usize,
    bytes: usize,
}

impl Report {
    pub(crate) fn new(attack: &str) -> Self {
        Self {
            attack: attack.to_owned(),
            ..Self::default()
        }
    }

    /// What the enemies say after a war: their sends, the bytes of these, and how they were ended.
    pub(crate) fn note_war(&mut self, line: &str) {
        let mut numbers = line
            .split(' ')
            .map(|number| number.parse::<usize>().unwrap());
        self.sends += numbers.next().unwrap();
        self.bytes += numbers.next().unwrap();
        let codes = numbers.map(|code| CloseCode::from(u32::try_from(code).unwrap()));
        self.ends.extend(codes);
    }

    pub(crate) fn look(&mut self, server: &Server) {
        self.peak = self.peak.max(resident());
        let joining = server.stats().joining;
        self.joining = self.joining.max(joining);
        let mut inside = 0;
        for player in server.players() {
            if player.name() == "enemy" {
                inside += 1;
                let stats = player.stats();
                self.queued = self.queued.max(stats.queued_bytes);
                self.serving = self.serving.max(stats.serving_calls);
                for remote in &stats.remotes {
                    self.held = self.held.max(remote.held);
                }
            }
        }
        self.crowd = self.crowd.max(inside + joining);
    }

    /// The honest player noticed next to nothing, memory stayed below `most` MiB more, and nothing of
    /// the enemies is left.
    pub(crate) fn assert_contained(&self, most: usize) {
        self.assert_bounded(most);
        if rounds() > 0 {
            let [war, peace] = self.quantiles(0.99);
            assert!(war < 2 * peace, "{self}");
            // Nor does it show in so many rounds that the better ones say nothing.
            let [rough_war, rough_peace] = self.rough();
            assert!(rough_war <= rough_peace + self.war.len() / 3, "{self}");
        }
    }

    /// The same of an attack that the honest player may notice.
    pub(crate) fn assert_bounded(&self, most: usize) {
        assert!(self.sends > 0, "there was no attack");
        assert!(self.grown < most << 20, "{self}");
        for fate in &self.fates {
            for stats in &fate.stats.remotes {
                assert!(stats.is_balanced(), "{stats:?}");
                assert_eq!((stats.queued, stats.held), (0, 0), "{stats:?}");
            }
            assert_eq!(fate.stats.serving_calls, 0);
        }
        for (offence, count) in &self.offences {
            assert!(count.is_power_of_two(), "{offence} {count}");
        }
    }

    /// Whether enough rounds of both sides were undisturbed for the better half of each to mean something.
    pub(crate) fn is_calm(&self) -> bool {
        [&self.war, &self.peace].iter().all(|slices| {
            let p99s = sorted(slices, 0.99);
            let calm = p99s.iter().filter(|p99| **p99 <= NOISE * p99s[0]);
            2 * calm.count() > p99s.len()
        })
    }

    /// A quantile in war and in peace: the median over the better half of the rounds of each side.
    ///
    /// What else the machine does only ever adds to a round, and falls on both sides alike; so the same is left
    /// out on both, each by its own.
    fn quantiles(&self, share: f64) -> [Duration; 2] {
        [&self.war, &self.peace].map(|slices| {
            let quantiles = sorted(slices, share);
            quantiles[(quantiles.len() - 1) / 4]
        })
    }

    /// How many rounds of each side were far worse than the better ones in peace.
    fn rough(&self) -> [usize; 2] {
        let [_, peace] = self.quantiles(0.99);
        [&self.war, &self.peace].map(|slices| {
            let p99s = sorted(slices, 0.99);
            p99s.iter().filter(|p99| **p99 > NOISE * peace).count()
        })
    }

    /// Every enemy was thrown out, with this code.
    pub(crate) fn assert_thrown_out(&self, code: CloseCode) {
        assert!(!self.ends.is_empty(), "nobody was thrown out");
        assert!(self.ends.iter().all(|end| *end == code), "{:?}", self.ends);
        let reason = DisconnectReason::Violation { code };
        assert!(self.fates.iter().any(|fate| fate.reason == reason));
    }

    /// How many events of the remote were dropped for this cause.
    pub(crate) fn dropped(&self, remote: &str, cause: DropCause) -> u64 {
        self.fates
            .iter()
            .map(|fate| fate.refused(remote, cause))
            .sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (grown, crowd) = (self.grown >> 10, self.crowd.max(1));
        write!(
            f,
            "{REPORT}{}: {} sends, {} KiB, {} thrown out; {crowd} enemies at a time, memory +{grown} KiB, {} KiB each",
            self.attack,
            self.sends,
            self.bytes >> 10,
            self.ends.len(),
            grown / crowd,
        )?;
        if self.peace.is_empty() {
            return Ok(());
        }
        let [war, peace] = self.quantiles(0.99);
        let [war_half, peace_half] = self.quantiles(0.5);
        let ([rough_war, rough_peace], fought) = (self.rough(), self.peace.len());
        let ratio = war.as_secs_f64() / peace.as_secs_f64();
        write!(f, "; honest p99 {war:?}, {peace:?} without: {ratio:.2}")?;
        write!(
            f,
            " (p50 {war_half:?}, {peace_half:?}; of {fought} rounds {rough_war} rough, {rough_peace} without)"
        )
    }
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    sorted[(sorted.len() as f64 * share) as usize]
}

/// A quantile of each round, the best one first.
fn sorted(slices: &[Vec<Duration>], share: f64) -> Vec<Duration> {
    let mut quantiles: Vec<_> = slices.iter().map(|slice| quantile(slice, share)).collect();
    quantiles.sort_unstable();
    quantiles
}

/// A round whose p99 is this many times that of a good one shows what else the machine did, or an attack that
/// works now and then.
const NOISE: u32 = 3;
