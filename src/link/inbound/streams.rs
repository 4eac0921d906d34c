//! Reading the peer's streams: which kind each is, and its bytes into the session.

use std::{
    pin::pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use quinn::{ReadError, RecvStream};

use super::{Inbound, Notice};
use crate::{
    clock,
    inbox::Context as HandlerContext,
    link::pieces::with_pieces,
    session::{LaneKey, Violation},
    wire::{
        prelude::{PreludeReader, StreamPrelude},
        read::ENDS_EARLY,
    },
};

/// A unidirectional stream of the peer.
pub(super) struct Stream {
    pub(super) recv: RecvStream,
    pub(super) content: Content,
}

pub(super) enum Content {
    Prelude(PreludeReader),
    Lane {
        key: LaneKey,
        is_default: bool,
    },
    /// One unordered event; its payload so far.
    Event {
        remote: u32,
        payload: Vec<u8>,
    },
    Done,
}

/// What reading left of a stream.
enum Left {
    Nothing,
    ForTheNextTurn,
    /// Until the peer has bytes again.
    AtItsSender,
}

impl<C: HandlerContext> Inbound<C> {
    /// Reads what there is of every stream, within the turn and the pace. True if more may be there.
    pub(in crate::link) fn poll_streams(
        &mut self,
        cx: &mut Context<'_>,
        notices: &mut Vec<Notice>,
    ) -> Result<bool, Violation> {
        self.pace.look(self.turn.now);
        let (mut left_at, mut turn_over) = (None, false);
        let count = self.streams.len();
        for step in 0..count {
            let at = (self.first + step) % count;
            match self.poll_stream(at, cx, notices)? {
                Left::Nothing => continue,
                Left::ForTheNextTurn => turn_over = true,
                Left::AtItsSender => {}
            }
            left_at = left_at.or(Some(at));
        }
        self.end_run();
        // The stream that took the turn up, or all that its sender had, is the last of the next one.
        self.first = left_at.map_or(0, |at| at + 1);
        let rested = self.must_rest() && self.pace.poll_rest(cx, self.turn.now).is_ready();
        self.streams
            .retain(|stream| !matches!(stream.content, Content::Done));
        self.pass();
        Ok(turn_over || rested)
    }

    fn poll_stream(
        &mut self,
        at: usize,
        cx: &mut Context<'_>,
        notices: &mut Vec<Notice>,
    ) -> Result<Left, Violation> {
        loop {
            if let Content::Lane { key, .. } = self.streams[at].content
                && !self.drain_lane(key, notices)?
            {
                return Ok(Left::ForTheNextTurn);
            }
            if self.turn_is_over() {
                return Ok(Left::ForTheNextTurn);
            }
            if self.must_rest() {
                return Ok(Left::AtItsSender);
            }
            let read = with_pieces(|pieces| {
                let read = pin!(self.streams[at].recv.read_chunks(pieces)).poll(cx);
                if let Poll::Ready(Ok(Some(count))) = read {
                    // Taken out one and all, also when one of them breaks the rules: they hold on to packets.
                    let mut kept = Ok(());
                    for bytes in pieces[..count].iter_mut().map(std::mem::take) {
                        if kept.is_err() {
                            continue;
                        }
                        // A large event takes as many looks as it has packets.
                        self.session.spend_turn();
                        self.pace.spend(bytes.len());
                        kept = self.stream_bytes(at, bytes);
                    }
                    kept?;
                }
                Ok::<_, Violation>(read)
            });
            let Poll::Ready(read) = read? else {
                return Ok(Left::Nothing);
            };
            match read {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.session.spend_turn();
                    self.stream_finished(at, notices)?;
                    return Ok(Left::Nothing);
                }
                Err(ReadError::Reset(_)) => {
                    self.session.spend_turn();
                    let content = std::mem::replace(&mut self.streams[at].content, Content::Done);
                    if matches!(content, Content::Lane { .. }) {
                        return Err(Violation::LaneReset);
                    }
                    // An event whose sender gave up is no event, and costs as much.
                    self.session.taken_back(clock::now())?;
                    return Ok(Left::Nothing);
                }
                // The connection is gone; its task hears of that elsewhere.
                Err(_) => {
                    self.streams[at].content = Content::Done;
                    return Ok(Left::Nothing);
                }
            }
        }
    }

    /// Whether nothing more is read because the peer has used up its bytes. What has arrived before the
    /// connection ended is read regardless.
    fn must_rest(&self) -> bool {
        self.pace.is_used_up() && self.turn.ends.is_some()
    }

    fn stream_bytes(&mut self, at: usize, bytes: Bytes) -> Result<(), Violation> {
        match &mut self.streams[at].content {
            Content::Prelude(reader) => {
                let Some((prelude, rest)) = reader.push(bytes)? else {
                    return Ok(());
                };
                self.streams[at].content = match prelude {
                    StreamPrelude::Lane(name) => {
                        let key = self.session.open_lane(&name)?;
                        Content::Lane {
                            key,
                            is_default: name.is_empty(),
                        }
                    }
                    StreamPrelude::Event { remote } => Content::Event {
                        remote,
                        payload: Vec::new(),
                    },
                };
                match rest.is_empty() {
                    true => Ok(()),
                    false => self.stream_bytes(at, rest),
                }
            }
            Content::Lane { key, .. } => {
                self.session.lane_bytes(*key, bytes);
                Ok(())
            }
            Content::Event { payload, .. } => {
                if payload.len() + bytes.len() > self.session.max_payload() {
                    return Err(Violation::TooLarge);
                }
                payload.extend_from_slice(&bytes);
                Ok(())
            }
            Content::Done => Ok(()),
        }
    }

    fn stream_finished(&mut self, at: usize, notices: &mut Vec<Notice>) -> Result<(), Violation> {
        match std::mem::replace(&mut self.streams[at].content, Content::Done) {
            Content::Prelude(_) => Err(Violation::Malformed(ENDS_EARLY)),
            Content::Lane { key, is_default } => {
                self.session.lane_finished(key)?;
                if is_default {
                    notices.push(Notice::DefaultLaneEnded);
                }
                Ok(())
            }
            Content::Event { remote, payload } => {
                let known = Self::known(&self.wiring, &self.link);
                let event = self
                    .session
                    .unordered(remote, &payload, &known, clock::now())?;
                if let Some(event) = event {
                    let now = self.offer(event, clock::now())?;
                    self.look_at_clock(now);
                }
                Ok(())
            }
            Content::Done => Ok(()),
        }
    }
}
