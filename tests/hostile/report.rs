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

    /// The rounds whose control run was undisturbed.
    pub(crate) fn calm(&self) -> Vec<usize> {
        let peace = || self.peace.iter().map(|slice| quantile(slice, 0.99));
        let Some(best) = peace().min() else {
            return Vec::new();
        };
        let rounds = peace().enumerate();
        let calm = rounds.filter(|(_, p99)| *p99 <= NOISE * best);
        calm.map(|(round, _)| round).collect()
    }

    /// The median, over the calm rounds, of a quantile in war and in peace.
    fn quantiles(&self, share: f64) -> [Duration; 2] {
        let calm = self.calm();
        [&self.war, &self.peace].map(|slices| {
            let of = |round: &usize| quantile(&slices[*round], share);
            let mut quantiles: Vec<_> = calm.iter().map(of).collect();
            quantiles.sort_unstable();
            quantiles[quantiles.len() / 2]
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
            "{REPORT}{}: {} sends, {} KiB; {crowd} enemies at a time, memory +{grown} KiB, {} KiB each",
            self.attack,
            self.sends,
            self.bytes >> 10,
            grown / crowd,
        )?;
        if self.peace.is_empty() {
            return Ok(());
        }
        let [war, peace] = self.quantiles(0.99);
        let [war_half, peace_half] = self.quantiles(0.5);
        let (calm, fought) = (self.calm().len(), self.peace.len());
        let ratio = war.as_secs_f64() / peace.as_secs_f64();
        write!(f, "; honest p99 {war:?}, {peace:?} without: {ratio:.2}")?;
        write!(
            f,
            " (p50 {war_half:?}, {peace_half:?}; {calm} calm rounds of {fought})"
        )
    }
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    sorted[(sorted.len() as f64 * share) as usize]
}

/// A control run whose p99 is this many times that of the best one shows what else the machine did.
const NOISE: u32 = 3;
