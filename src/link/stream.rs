//! Stream ends that never lie: a writer that resets unless it finished, and a bounded reader.

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt};

use crate::wire::code::CallCode;

/// A send stream that is reset when it is dropped unfinished.
///
/// Dropping a bare `SendStream` finishes it, which makes half a message look whole.
pub(super) struct Writer {
    send: SendStream,
    code: CallCode,
    finished: bool,
}

impl Writer {
    pub(super) fn new(send: SendStream, code: CallCode) -> Self {
        Self {
            send,
            code,
            finished: false,
        }
    }

    /// The code that a drop resets with.
    pub(super) fn set_code(&mut self, code: CallCode) {
        self.code = code;
    }

    /// Writes the whole of `bytes` as the stream's last and finishes it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: dropped half way, the stream is reset when the writer is dropped.
    pub(super) async fn write_last(&mut self, bytes: Bytes) -> Result<(), quinn::WriteError> {
        self.write(bytes).await?;
        self.finish();
        Ok(())
    }

    /// Writes the whole of `bytes`.
    ///
    /// # Cancel safety
    ///
    /// As [`write_last`](Self::write_last).
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), quinn::WriteError> {
        self.send.write_all_chunks(&mut [bytes]).await
    }

    /// Sends this stream's bytes after those of streams that give no way.
    pub(super) fn give_way(&self) {
        // It fails only if the stream is gone, which whoever writes will find.
        let _ = self.send.set_priority(BEHIND);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
        // It fails only if the peer stopped the stream, and then nothing is left to be said.
        let _ = self.send.finish();
    }

    /// The stream itself, for writes that poll.
    pub(super) fn stream(&mut self) -> &mut SendStream {
        &mut self.send
    }

    /// Resolves when the peer wants no more of this stream, or has everything.
    pub(super) fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<VarInt>, quinn::StoppedError>> + Send + Sync + 'static
    {
        self.send.stopped()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.send.reset(var_int(self.code));
        }
    }
}

/// What fills the other lanes goes behind calls and the default lane, which keep quinn's priority, 0: a
/// call is not to cost two settings of it.
const BEHIND: i32 = -1;

/// A receive stream that is stopped with a code when it is dropped before its end.
pub(super) struct Reader {
    recv: RecvStream,
    code: CallCode,
    done: bool,
}

impl Reader {
    pub(super) fn new(recv: RecvStream, code: CallCode) -> Self {
        Self {
            recv,
            code,
            done: false,
        }
    }

    pub(super) fn set_code(&mut self, code: CallCode) {
        self.code = code;
    }

    /// Whether it has read to the end.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Reads to the end of the stream, at most `limit` bytes; memory grows with what arrives.
    /// `begun` is told of the first bytes.
    pub(super) async fn read_to_end(
        &mut self,
        limit: usize,
        begun: impl FnOnce(),
    ) -> Result<Bytes, CollectError> {
        let mut begun = Some(begun);
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        let mut chunks: [Bytes; 4] = Default::default();
        loop {
            let Some(read) = self.recv.read_chunks(&mut chunks).await? else {
                break;
            };
            if let Some(begun) = begun.take() {
                begun();
            }
            for chunk in &mut chunks[..read] {
                let chunk = std::mem::take(chunk);
                if first.len() + rest.len() + chunk.len() > limit {
                    self.code = CallCode::REQUEST_TOO_LARGE;
                    return Err(CollectError::TooLarge);
                }
                if first.is_empty() {
                    first = chunk;
                } else {
                    rest.extend_from_slice(&chunk);
                }
            }
        }
        self.done = true;
        if rest.is_empty() {
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        Ok(whole.freeze())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.recv.stop(var_int(self.code));
        }
    }
}

/// Why a stream could not be read to its end.
#[derive(Debug)]
pub(super) enum CollectError {
    TooLarge,
    Reset(CallCode),
    Lost,
}

impl From<ReadError> for CollectError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::Reset(CallCode::from_u64(code.into_inner())),
            ReadError::ConnectionLost(_)
            | ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::Lost,
        }
    }
}

pub(super) fn var_int(code: CallCode) -> VarInt {
    VarInt::from_u32(code.as_u32())
}
