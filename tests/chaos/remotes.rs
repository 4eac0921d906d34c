//! What the two sides of these tests say to each other.

use bytes::Bytes;
use farfire::{Remote, RemoteEvent, RemoteFunction, UnreliableRemoteEvent};

use crate::tally::Random;

/// Asked by clients, answered by the server; and the other way round.
pub(crate) const ASK: RemoteFunction<u32, u32> = RemoteFunction::new("Ask");
pub(crate) const TELL: RemoteFunction<u32, u32> = RemoteFunction::new("Tell");
/// One remote of each kind, for both directions; nobody listens to the spare one.
pub(crate) const NOTE: RemoteEvent<u32> = RemoteEvent::new("Note");
pub(crate) const BULK: RemoteEvent<Bytes> = RemoteEvent::new("Bulk").lane("bulk");
pub(crate) const LOOSE: RemoteEvent<u32> = RemoteEvent::new("Loose").unordered();
pub(crate) const SPARE: RemoteEvent<u32> = RemoteEvent::new("Spare");
pub(crate) const POSE: UnreliableRemoteEvent<u32> = UnreliableRemoteEvent::new("UnreliablePose");
pub(crate) const SPOT: UnreliableRemoteEvent<u32> =
    UnreliableRemoteEvent::new("UnreliableSpot").latest_wins();

pub(crate) const ALL: [&dyn Remote; 8] = [&ASK, &TELL, &NOTE, &BULK, &LOOSE, &SPARE, &POSE, &SPOT];

/// An event of one of them.
#[derive(Debug, Clone)]
pub(crate) enum Shot {
    Note(u32),
    Bulk(Bytes),
    Loose(u32),
    Spare(u32),
    Pose(u32),
    Spot(u32),
}

impl Shot {
    pub(crate) fn any(random: &mut Random) -> Self {
        let number = random.next() as u32;
        match random.below(8) {
            0 | 1 => Self::Note(number),
            2 => Self::Bulk(vec![1; random.below(8000) as usize].into()),
            3 => Self::Loose(number),
            4 => Self::Spare(number),
            5 | 6 => Self::Pose(number),
            _ => Self::Spot(number),
        }
    }
}

/// Fires a shot in one of the ways there are.
macro_rules! shoot {
    ($shot:expr, |$remote:ident, $args:ident| $fire:expr) => {
        match &$shot {
            $crate::remotes::Shot::Note($args) => shoot!(@ $remote NOTE $fire),
            $crate::remotes::Shot::Bulk($args) => shoot!(@ $remote BULK $fire),
            $crate::remotes::Shot::Loose($args) => shoot!(@ $remote LOOSE $fire),
            $crate::remotes::Shot::Spare($args) => shoot!(@ $remote SPARE $fire),
            $crate::remotes::Shot::Pose($args) => shoot!(@ $remote POSE $fire),
            $crate::remotes::Shot::Spot($args) => shoot!(@ $remote SPOT $fire),
        }
    };
    (@ $remote:ident $which:ident $fire:expr) => {{
        let $remote = &$crate::remotes::$which;
        $fire
    }};
}
pub(crate) use shoot;
