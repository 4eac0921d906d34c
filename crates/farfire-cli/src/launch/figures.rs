//! How the built-in bots do: the figures that they and their server print each second, and the rates
//! between two of them.
//!
//! Knows nothing of processes, and nothing of how it is shown.

use std::collections::VecDeque;

/// Declares counters that travel as one line of numbers.
macro_rules! figures {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(super) struct $name { $($(#[$of])* pub(super) $field: u64,)* }

        impl $name {
            pub(super) fn to_line(self) -> String {
                [$(self.$field),*].map(|number| number.to_string()).join(" ")
            }

            pub(super) fn from_line(line: &str) -> Option<Self> {
                let mut numbers = line.split(' ').map(str::parse);
                let figures = Self { $($field: numbers.next()?.ok()?,)* };
                numbers.next().is_none().then_some(figures)
            }
        }
    };
}

figures! {
    /// What a bot knows of itself; counts since it joined.
    Bot {
        /// Milliseconds since it joined.
        at,
        network_ping_us,
        /// 0 before the first.
        data_ping_us,
        sent_packets,
        lost_packets,
        sent_bytes,
        received_bytes,
        /// Snapshots of the world.
        worlds,
        bought,
        refused,
        failed,
        heard,
    }
}

figures! {
    /// What the server knows of a player.
    Seat {
        at,
        sent_packets,
        lost_packets,
        moves,
        answered,
        unanswered,
    }
}

/// The last figures of a player, from both sides.
#[derive(Debug, Default)]
pub(super) struct Figures {
    bot: VecDeque<Bot>,
    seat: VecDeque<Seat>,
}

/// How a player does now: rates over the last seconds, counts since it joined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Now {
    pub(super) network_ping_ms: f64,
    pub(super) data_ping_ms: Option<f64>,
    /// In percent of the packets; what QUIC gave up on.
    pub(super) lost_up: Option<f64>,
    pub(super) lost_down: Option<f64>,
    /// Per second, as they arrive at the server.
    pub(super) moves: Option<f64>,
    /// Per second, as they arrive at the bot.
    pub(super) worlds: Option<f64>,
    /// Kilobytes per second, with QUIC's part.
    pub(super) up: Option<f64>,
    pub(super) down: Option<f64>,
    pub(super) bought: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) answered: u64,
    pub(super) unanswered: u64,
    pub(super) heard: u64,
}

impl Figures {
    pub(super) fn hear_bot(&mut self, figures: Bot) {
        keep(&mut self.bot, figures);
    }

    pub(super) fn hear_seat(&mut self, figures: Seat) {
        keep(&mut self.seat, figures);
    }

    /// Forgets what was before, as after a change of network; the counts stay.
    pub(super) fn begin_anew(&mut self) {
        self.bot.drain(..self.bot.len().saturating_sub(1));
        self.seat.drain(..self.seat.len().saturating_sub(1));
    }

    pub(super) fn now(&self) -> Option<Now> {
        let bot = *self.bot.back()?;
        let seat = self.seat.back().copied().unwrap_or_default();
        let bots = Span::of(&self.bot, |figures| figures.at);
        let seats = Span::of(&self.seat, |figures| figures.at);
        let lost = |lost: Option<u64>, sent: Option<u64>| match (lost, sent) {
            (Some(lost), Some(sent)) if sent > 0 => Some(lost as f64 * 100.0 / sent as f64),
            _ => None,
        };
        let kilobytes = |bytes: Option<f64>| bytes.map(|bytes| bytes / 1000.0);
        Some(Now {
            network_ping_ms: bot.network_ping_us as f64 / 1000.0,
            data_ping_ms: (bot.data_ping_us > 0).then(|| bot.data_ping_us as f64 / 1000.0),
            lost_up: lost(
                bots.more(|of| of.lost_packets),
                bots.more(|of| of.sent_packets),
            ),
            lost_down: lost(
                seats.more(|of| of.lost_packets),
                seats.more(|of| of.sent_packets),
            ),
            moves: seats.rate(|of| of.moves),
            worlds: bots.rate(|of| of.worlds),
            up: kilobytes(bots.rate(|of| of.sent_bytes)),
            down: kilobytes(bots.rate(|of| of.received_bytes)),
            bought: bot.bought,
            refused: bot.refused,
            failed: bot.failed,
            answered: seat.answered,
            unanswered: seat.unanswered,
            heard: bot.heard,
        })
    }
}

fn keep<T>(figures: &mut VecDeque<T>, more: T) {
    if figures.len() == WINDOW {
        figures.pop_front();
    }
    figures.push_back(more);
}

/// The first and the last of a window, and the milliseconds between them.
struct Span<T>(Option<(T, T, u64)>);

impl<T: Copy> Span<T> {
    fn of(figures: &VecDeque<T>, at: fn(T) -> u64) -> Self {
        let ends = figures.front().zip(figures.back());
        Self(ends.and_then(|(&first, &last)| {
            let between = at(last).saturating_sub(at(first));
            (between > 0).then_some((first, last, between))
        }))
    }

    fn more(&self, of: fn(T) -> u64) -> Option<u64> {
        let (first, last, _) = self.0?;
        Some(of(last).saturating_sub(of(first)))
    }

    fn rate(&self, of: fn(T) -> u64) -> Option<f64> {
        let (_, _, between) = self.0?;
        Some(self.more(of)? as f64 * 1000.0 / between as f64)
    }
}

/// How many figures rates are over: that many seconds, less one.
const WINDOW: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was() {
        let bot = Bot {
            at: 1,
            heard: 12,
            ..Bot::default()
        };
        assert_eq!(Bot::from_line(&bot.to_line()), Some(bot));
        let line = bot.to_line();
        for wrong in [&line[2..], &format!("{line} 1"), "", "x"] {
            assert_eq!(Bot::from_line(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn rates_are_over_the_window_and_losses_since_the_change() {
        let mut figures = Figures::default();
        for second in 0..20 {
            figures.hear_bot(Bot {
                at: second * 1000,
                sent_packets: second * 100,
                // Only in the first seconds.
                lost_packets: second.min(4) * 10,
                worlds: second * 20,
                ..Bot::default()
            });
            if second == 4 {
                let now = figures.now().unwrap();
                assert_eq!((now.lost_up, now.worlds), (Some(10.0), Some(20.0)));
                figures.begin_anew();
                assert_eq!(figures.now().unwrap().lost_up, None);
            }
            if second == 5 {
                assert_eq!(figures.now().unwrap().lost_up, Some(0.0));
            }
        }
        assert_eq!(figures.bot.len(), WINDOW);
        assert_eq!(figures.now().unwrap().lost_down, None);
    }
}
