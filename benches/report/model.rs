//! What a broadcast costs by how much of it there is, fitted to what was measured.

/// One run: messages per second, players, and how much of a core the server took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    pub(crate) messages: f64,
    pub(crate) players: f64,
    pub(crate) core: f64,
}

/// Of a core: `per_message` for each message a second, `per_player` for each player there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Model {
    pub(crate) per_message: f64,
    pub(crate) per_player: f64,
    /// The largest error of a run, as a share of what it took.
    pub(crate) worst: f64,
}

/// Least squares of relative errors, so that small runs count as much as large ones. None where the runs
/// cannot tell one cost from the other.
pub(crate) fn fit(runs: &[Run]) -> Option<Model> {
    let runs: Vec<Run> = runs.iter().copied().filter(|run| run.core > 0.0).collect();
    let scaled = runs
        .iter()
        .map(|it| (it.messages / it.core, it.players / it.core));
    let [mut mm, mut mp, mut pp, mut m, mut p] = [0.0; 5];
    for (messages, players) in scaled {
        mm += messages * messages;
        mp += messages * players;
        pp += players * players;
        m += messages;
        p += players;
    }
    let determinant = mm * pp - mp * mp;
    // One rate only, to rounding.
    if runs.len() < 2 || determinant <= mm * pp * 1e-9 {
        return None;
    }
    let mut per_message = (m * pp - p * mp) / determinant;
    let mut per_player = (p * mm - m * mp) / determinant;
    // Nothing costs less than nothing: the noise is larger than that part.
    if per_player < 0.0 {
        (per_message, per_player) = (m / mm, 0.0);
    } else if per_message < 0.0 {
        (per_message, per_player) = (0.0, p / pp);
    }
    let error = |it: &Run| (it.messages * per_message + it.players * per_player) / it.core - 1.0;
    let worst = runs.iter().map(|it| error(it).abs()).fold(0.0, f64::max);
    Some(Model {
        per_message,
        per_player,
        worst,
    })
}

impl Model {
    /// How many players so many cores hold, filled to 0.8 each, at a rate of broadcasts.
    pub(crate) fn players(&self, cores: f64, hertz: f64) -> f64 {
        cores * FILLED / (self.per_message * hertz + self.per_player)
    }
}

/// What is left is for the game, and for what comes in bursts.
pub(crate) const FILLED: f64 = 0.8;
