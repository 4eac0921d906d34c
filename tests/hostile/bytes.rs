//! The bytes of the protocol, written by hand: an enemy has no encoder that refuses.

/// The ALPN protocol.
pub(crate) const ALPN: &[u8] = b"farfire/1";

pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn sized(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, body);
    out
}

/// A hello that lists these remotes: name and kind.
pub(crate) fn hello(name: &str, remotes: &[(String, u8)]) -> Vec<u8> {
    let mut body = vec![1];
    put_bytes(&mut body, name.as_bytes());
    put_bytes(&mut body, b"");
    put_varint(&mut body, remotes.len() as u64);
    for (name, kind) in remotes {
        put_bytes(&mut body, name.as_bytes());
        body.push(*kind);
        put_bytes(&mut body, b"");
    }
    sized(&body)
}

/// The beginning of a lane.
pub(crate) fn lane(name: &str) -> Vec<u8> {
    let mut out = vec![1];
    put_bytes(&mut out, name.as_bytes());
    out
}

/// The beginning of an unordered event.
pub(crate) fn unordered(remote: u32) -> Vec<u8> {
    let mut out = vec![2];
    put_varint(&mut out, remote.into());
    out
}

/// One frame of a lane.
pub(crate) fn frame(remote: u32, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, remote.into());
    body.extend_from_slice(payload);
    sized(&body)
}

/// A control message that asks for an answer.
pub(crate) fn ping(nonce: u64) -> Vec<u8> {
    let mut payload = vec![3];
    put_varint(&mut payload, nonce);
    frame(0, &payload)
}

/// One event of a datagram.
pub(crate) fn unreliable(remote: u32, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    put_varint(&mut rest, sequence.into());
    rest.extend_from_slice(payload);
    frame(remote, &rest)
}

/// A request that waits for `remaining` milliseconds, after `barrier` events.
pub(crate) fn request(function: u32, remaining: u64, barrier: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    put_varint(&mut out, function.into());
    put_varint(&mut out, remaining);
    put_varint(&mut out, barrier);
    // No flags, and within no other call.
    out.extend([0, 0]);
    put_bytes(&mut out, body);
    out
}

/// The code of a reply with which the runtime failed, if it is one.
pub(crate) fn system_code(reply: &[u8]) -> Option<u32> {
    let rest = reply.strip_prefix(&[3])?;
    // Barrier, length and code are all short here.
    rest.get(2).map(|code| u32::from(*code))
}

/// Not good, but the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, count: u64) -> u64 {
        (self.next() >> 16) % count
    }

    /// Up to `most` bytes.
    pub(crate) fn bytes(&mut self, most: u64) -> Vec<u8> {
        let count = self.below(most + 1);
        (0..count).map(|_| (self.next() >> 24) as u8).collect()
    }
}
