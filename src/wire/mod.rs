//! The protocol `farfire/1`: this text is its specification, the files beside it are its bytes.
//!
//! A client in another language can be written from this text alone. What the files hold are pure
//! functions between bytes and values; they know no sockets, no clock, no tasks, and not who may say
//! what when: the rules below are kept by the floors above.
//!
//! **Decoding is total.** Whatever a peer sends, a decoder returns a value or an error. It never panics,
//! and never allocates by a length that the peer merely claims.
//!
//! # 1. Transport
//!
//! - QUIC version 1 (RFC 9000) with TLS 1.3. The ALPN protocol is `farfire/1`, as ASCII. A server that
//!   does not have it answers with the TLS alert `no_application_protocol`: the versions differ.
//! - The server has a certificate that the client has reason to trust; which reason is no part of the
//!   protocol. Clients have none.
//! - 0-RTT is off: a server does not accept early data, a client does not send any.
//! - The unreliable datagram extension (RFC 9221) is required: each side sets `max_datagram_frame_size`
//!   to at least 1153. A side that finds less closes with `PROTOCOL_VIOLATION`.
//! - Each side lets the other open at least 16 unidirectional streams at a time, and 1 bidirectional
//!   one; 64 and 48 or more serve well. It sets an idle timeout, and the client keeps the connection
//!   alive.
//!
//! The side that opens the connection is the *client*, the other is the *server*. One connection is one
//! player.
//!
//! # 2. Notation
//!
//! A *message* is its fields one after another, without padding.
//!
//! | type | bytes |
//! |---|---|
//! | `u8` | one byte |
//! | `varint` | an unsigned number of up to 64 bits, in LEB128: seven bits per byte from the least significant on, the top bit set in all bytes but the last. The shortest form only, so at most 10 bytes: `300` is `ac 02`, and `80 00` is malformed |
//! | `varint32` | a `varint` of at most 2^32 - 1, so at most 5 bytes |
//! | `bytes` | `varint` length, then that many bytes |
//! | `text` | as `bytes`, and they are UTF-8. No terminator |
//! | `list of T` | `varint` count, then that many `T` |
//!
//! *Malformed* is: a message that ends before its last field, a number in a longer form or beyond its
//! range, a text that is not UTF-8, a field or list above its limit, an unknown tag, kind, flag or
//! status, and bytes after the last field, unless the text says that they are ignored.
//!
//! # 3. Carriers
//!
//! | carrier | opened by | content | section |
//! |---|---|---|---|
//! | the client's first bidirectional stream | client | hello and its answer | 4 |
//! | a unidirectional stream that begins with `01` | either | a lane: events and control messages in order | 6 |
//! | a unidirectional stream that begins with `02` | either | one unordered event | 7 |
//! | a datagram | either | unreliable events | 8 |
//! | every other bidirectional stream | either | one call | 9 |
//! | the end of the connection | either | a close code | 11 |
//!
//! A unidirectional stream that begins with another byte is malformed. The first bytes of a stream may
//! arrive one at a time.
//!
//! # 4. Joining
//!
//! The client opens its first bidirectional stream, sends `Hello` and ends its half (FIN). The server
//! reads to that end, answers with `Welcome` or `Refused`, and ends its half. Both messages are preceded
//! by their length, so that a stream which merely ended is not taken for one which was finished; after
//! the message nothing follows.
//!
//! Client to server, at most 65536 bytes after the length:
//!
//! | field | type | limit | |
//! |---|---|---|---|
//! | length | `varint` | 65536 | of all that follows |
//! | protocol | `varint32` | | 1 |
//! | name | `text` | 400 bytes | what the player wants to be called; may be empty |
//! | token | `bytes` | 4096 bytes | for the server's authentication; may be empty |
//! | remotes | `list of Remote` | 4096 | those that the client knows; may be empty |
//! | | | | further bytes, which belong to later revisions and are ignored |
//!
//! Server to client, at most 1048576 bytes after the length, if the client is in:
//!
//! | field | type | limit | |
//! |---|---|---|---|
//! | length | `varint` | 1048576 | of all that follows |
//! | tag | `u8` | | 1 |
//! | player id | `varint` | | unique on this server |
//! | name | `text` | 400 bytes | what the player is called |
//! | remotes | `list of Announced` | 4096 | all that the server has now |
//! | max event payload | `varint32` | | bytes in a reliable event from the client |
//! | max call payload | `varint32` | | bytes in the body of a request or reply from the client |
//! | calls in flight | `varint32` | | calls of the client that may be waiting for a reply |
//! | settings | `list of (text, text)` | 64; 1024 bytes per text | by name; unknown ones are ignored |
//! | | | | further bytes, which belong to later revisions and are ignored |
//!
//! or if it is not:
//!
//! | field | type | limit | |
//! |---|---|---|---|
//! | length | `varint` | 1048576 | of all that follows |
//! | tag | `u8` | | 2 |
//! | code | `varint32` | | a close code (section 13) |
//! | detail | `text` | 256 bytes | for people |
//! | protocol | `varint32` | | the version that the server speaks |
//! | | | | further bytes, which are ignored |
//!
//! where the two records are
//!
//! | `Remote` | type | limit | |
//! |---|---|---|---|
//! | name | `text` | 1 to 100 characters (Unicode scalar values) | |
//! | kind | `u8` | | 1 event, 2 unreliable event, 3 function |
//! | shape | `text` | 600 bytes | describes the argument and result types; empty means unchecked |
//!
//! | `Announced` | type | limit | |
//! |---|---|---|---|
//! | id | `varint32` | 1 to 4096 | assigned by the server, for this connection |
//! | remote | `Remote` | | |
//!
//! Names differ within a list. Ids start at 1 and leave no gaps, so that a table can be indexed by them;
//! a `Welcome` may list them in any order. Id 0 is the control channel (section 6).
//!
//! Where the two sides give a name different kinds, or shapes that differ in any byte while neither is
//! empty, that one remote is unusable: its events are dropped, its calls fail with `SIGNATURE`. A client
//! that knows no shapes leaves them empty, or sends no remotes at all.
//!
//! Names that begin with `farfire.` are the runtime's own. A server that answers echoes announces
//! `farfire.echo.reliable`, `farfire.echo.unreliable` and `farfire.echo.function` from when the first
//! client has named one of them in its `Hello`; each takes a byte string, and sends it back.
//!
//! Until it has read `Welcome`, a client sends nothing but `Hello`. It leaves streams that arrive
//! earlier unread until then, and drops datagrams. A server reads nothing but the hello stream before it
//! has answered, and closes with `JOIN_TIMEOUT` if `Hello` is not complete in time.
//!
//! # 5. Remotes and payloads
//!
//! A *remote* is a named channel with a kind. Events and unreliable events go both ways, functions can
//! be called from both sides. A payload is the remote's argument, encoded as in section 14; it may be
//! empty.
//!
//! | payload | limit |
//! |---|---|
//! | reliable event, or body of a request or reply, from a client | what `Welcome` says, 65536 by default |
//! | the same from a server | what the client accepts: at least 1048576 |
//! | unreliable event | 1000, always |
//! | control message | 1024, always |
//!
//! Remotes may be added later: the server sends `Announce` on its default lane. Other carriers can
//! overtake it. For an id that a client does not know *yet*, it holds frames and unordered events up to
//! a bound of its own choosing, drops unreliable events, and lets calls wait within their time. For a
//! server there is no "yet": a client that uses an id which the server never assigned violates the
//! protocol, and so does either side that uses an id for another kind than the remote has. Calls are the
//! exception: they alone fail, with `UNKNOWN_FUNCTION`.
//!
//! # 6. Lanes
//!
//! A lane is a unidirectional stream of events in order. Each side opens its own.
//!
//! | field | type | limit | |
//! |---|---|---|---|
//! | kind | `u8` | | 1 |
//! | name | `text` | 64 bytes | empty for the *default lane* |
//! | frames | | | up to the end of the stream |
//!
//! | frame | type | |
//! |---|---|---|
//! | length | `varint` | of all that follows in this frame: the id and the payload |
//! | remote id | `varint32` | 0 for a control message |
//! | payload | | the rest of the frame |
//!
//! A side opens a lane when it first has something for it, at most once per name and connection, and at
//! most 16 including the default one. Which lane carries which remote is the sender's choice, and stays
//! the same for the connection. Receivers take any event on any lane. A lane other than the
//! default one may end between two frames. An end within a frame is malformed, a reset is a violation.
//!
//! Control messages are frames with the id 0. They are allowed on the default lane only:
//!
//! | message | tag, `u8` | fields | sent by |
//! |---|---|---|---|
//! | `Announce` | 1 | `Announced` | server: the remote exists from here on |
//! | `Goodbye` | 2 | code `varint32`, text `text` of at most 256 bytes | either: its last frame (section 11) |
//! | `Ping` | 3 | nonce `varint` | either |
//! | `Pong` | 4 | nonce `varint`, that of the `Ping` | the receiver of a `Ping`, at most once for each |
//! | `NextIdentity` | 5 | pin, 32 bytes as they are, without a length; after `varint32` | server, at any time |
//!
//! A side whose default lane has much waiting sends neither `Ping` nor `Pong`. Only the answer to its last `Ping` means
//! something to a side: any other `Pong`, such as one that was overtaken by another `Ping`, is ignored, and counts
//! against its sender like a `Ping`.
//!
//! `NextIdentity` announces the identity that the server will have: the SHA-256 of the `SubjectPublicKeyInfo` of its next
//! certificate, and in how many seconds that one takes the place of the present one, at the earliest. A client that
//! recognizes servers by such hashes should then accept both. A later announcement replaces an earlier one; one with the
//! hash of the present key withdraws it.
//!
//! # 7. Unordered events
//!
//! A unidirectional stream of its own: reliable, but in no order with anything.
//!
//! | field | type | |
//! |---|---|---|
//! | kind | `u8` | 2 |
//! | remote id | `varint32` | not 0 |
//! | payload | | up to the end of the stream, within the limit of reliable events |
//!
//! A reset stream is no event, and no violation. To stop one that is not yet sent to its end is.
//!
//! # 8. Unreliable events
//!
//! A datagram of at most 1150 bytes carries one or more of
//!
//! | field | type | |
//! |---|---|---|
//! | length | `varint` | of all that follows for this event |
//! | remote id | `varint32` | not 0 |
//! | sequence | `varint32` | see below |
//! | payload | | the rest; at most 1000 bytes |
//!
//! one after another up to its end. (1150 leaves room within the 1162 that a QUIC packet of 1200 bytes
//! offers, so that no path is too narrow.) An empty datagram is ignored.
//!
//! The sender numbers the events of each remote, per direction and connection, from 0 in steps of 1,
//! wrapping after 2^32 - 1. Of two numbers the newer is the one that is less than 2^31 ahead. The
//! receiver delivers an event at most once: for each remote it remembers which of the 64 newest numbers
//! it has seen (the newest and the 63 before it), drops those seen before, and drops those older than
//! that. The first number it sees may be any, as earlier datagrams may be lost. Events that arrive late
//! but for the first time are delivered, unless the receiving program asked for the newest only.
//!
//! # 9. Calls
//!
//! The caller opens a bidirectional stream, sends one request and ends its half; the callee sends one
//! reply and ends its half. Requests:
//!
//! | field | type | |
//! |---|---|---|
//! | version | `u8` | 1 |
//! | function id | `varint32` | not 0 |
//! | remaining | `varint32` | milliseconds from now on for which the caller waits |
//! | barrier | `varint` | section 10; 0 if unordered |
//! | flags | `u8` | bit 0: unordered, the barrier is ignored. The other bits are 0 |
//! | depth | `u8` | within how many calls this one was made, at most 8; see below |
//! | body | `bytes` | the argument. The stream ends here |
//!
//! Replies:
//!
//! | field | type | |
//! |---|---|---|
//! | status | `u8` | 1 the handler returned, 2 the handler failed, 3 the runtime failed |
//! | barrier | `varint` | section 10; 0 if the request was unordered |
//! | body | `bytes` | as below. The stream ends here |
//!
//! | status | body |
//! |---|---|
//! | 1 | the result, encoded as in section 14 |
//! | 2 | at most 256 bytes of UTF-8: a message that the handler's developer chose |
//! | 3 | code `varint32` (section 13), incident `varint` (0: none), retry after `varint32` in milliseconds (0: no advice) |
//!
//! - The callee runs nothing before it has the whole request *and* the end of the stream.
//! - A reply that is shorter or longer than declared, or whose stream does not end, is no success, even
//!   where the result is empty. A stream that ends without a byte means `ABANDONED`.
//! - The caller gives up by resetting its half, unless it has ended, and stopping the other
//!   (`RESET_STREAM`, `STOP_SENDING`), both with `CANCELLED` or `CALLER_DEADLINE`. A reply that comes
//!   nevertheless is ignored.
//! - The callee may also reject by resetting its half with a code of section 13; that means the same as
//!   a reply of status 3 with that code. It stops the caller's half, with the same code, if it does not
//!   read it to the end.
//! - Deadlines are relative, as the clocks of two machines differ. The callee may cap `remaining`.
//! - A call that is made by the handler of another is one deeper than that one, whichever side made
//!   either; every other call has depth 0. A caller does not make a call that would be deeper than 8.
//!   A caller that cannot tell says 0: then permits and deadlines are what ends a recursion.
//! - A malformed request fails that call, with `REQUEST_MALFORMED`. A side that keeps sending them may
//!   be disconnected with `MALFORMED`.
//! - A side that holds more calls open than it may gets `BUSY` for the rest.
//!
//! # 10. Order and the barrier
//!
//! What is ordered: the frames of one lane, in one direction. Nothing else is, but for the barrier:
//!
//! Each side counts the event frames (those with an id other than 0) that it writes to its default lane,
//! from 0 at the start of the connection. A request, and a reply, carries the number of those that come
//! *before* it; the sender has written them at the latest when it sends the request or reply. The
//! receiver counts the event frames of the peer's default lane that it has passed on: given to handlers,
//! kept for later or dropped. It starts the handler, or hands over the reply, when its count has reached
//! the barrier, and waits within the call's deadline until then.
//!
//! A barrier may be ahead of what the receiver has seen, as streams overtake one another, but not by
//! more than 4294967296 events: that is `PROTOCOL_VIOLATION`. Frames of other lanes, control messages,
//! unordered and unreliable events do not count.
//!
//! # 11. Ending
//!
//! QUIC drops what is in flight when a side closes. So whoever ends a connection on purpose:
//!
//! 1. sends what it still has, ends its other lanes, and waits until all of it is acknowledged;
//! 2. sends `Goodbye` as the last frame of its default lane (which it opens for this, if need be) and
//!    ends that lane;
//! 3. opens no more streams and sends no more datagrams; answers new requests with `DRAINING`;
//! 4. waits for the peer to close, within a grace of its own choosing;
//! 5. closes the connection with the same code, if the peer has not.
//!
//! Who receives `Goodbye` reads on to the end of the default lane, and what has arrived on other streams,
//! which by the first step is all there is. It sends what it still has and says `Goodbye` itself, with
//! the same code; when that is acknowledged, too, either side closes with the code. It may also close
//! without a `Goodbye` of its own, and gives up what it has not sent. Nothing follows `Goodbye` on the
//! lane, and the default lane does not end without it.
//!
//! A refusal is ended likewise: the server sends `Refused`, ends the hello stream, and waits up to 1 s
//! for the client, who has read to the end, to close with the same code; then it closes itself.
//!
//! For violations a side closes at once. The close is a QUIC `CONNECTION_CLOSE` of the application kind
//! (`0x1d`) with a close code of section 13 and a reason of at most 256 bytes of UTF-8, for people.
//!
//! # 12. Violations
//!
//! | what a side does | the other closes with |
//! |---|---|
//! | malformed bytes on the hello stream, a lane, an unordered stream or in a datagram | `MALFORMED` |
//! | another protocol version in `Hello` | `PROTOCOL_VERSION`, in `Refused` |
//! | a payload above its limit in a lane, an unordered stream or a datagram | `TOO_LARGE` |
//! | anything but `Hello` sent before `Welcome`, a second lane of one name, more than 16 lanes | `PROTOCOL_VIOLATION` |
//! | a reset lane, or a hello stream reset before it has ended | `PROTOCOL_VIOLATION` |
//! | stopping a lane, or an unordered stream before its end is sent | `PROTOCOL_VIOLATION` |
//! | a frame after `Goodbye`, an end of the default lane without it | `PROTOCOL_VIOLATION` |
//! | a control message on another lane, `Announce` or `NextIdentity` from a client | `PROTOCOL_VIOLATION` |
//! | `Announce` of an id or a name that is taken, or a name twice in one list | `PROTOCOL_VIOLATION` |
//! | an event with an id that no remote has (from a client), or of a remote of another kind | `PROTOCOL_VIOLATION` |
//! | a barrier that is too far ahead | `PROTOCOL_VIOLATION` |
//! | more events, calls, pings, or `Pong`s without a `Ping`, than the budget allows, for too long; datagrams in far larger numbers, whatever they hold | `RATE` |
//! | not reading what is sent | `SLOW_CONSUMER` |
//!
//! A receiver need not look for each of these, but must not suffer from any. Payloads that do not decode
//! are no violation of this protocol: they are dropped and counted, or fail their call.
//!
//! # 13. Codes
//!
//! Codes have 32 bits. One that a receiver does not know is shown as a number and otherwise treated like
//! `NONE` or `DROPPED`. Close codes stand in `Refused`, in `Goodbye` and in `CONNECTION_CLOSE`:
//!
//! | code | name | meaning |
//! |---|---|---|
//! | 0x00 | NONE | ended without a reason |
//! | 0x100 | LEFT | the client left |
//! | 0x101 | SHUTDOWN | the server shuts down |
//! | 0x102 | KICKED | the server removed the player |
//! | 0x103 | FULL | the server is full |
//! | 0x104 | BANNED | the player is banned |
//! | 0x105 | BAD_TOKEN | the token was not accepted |
//! | 0x106 | BAD_NAME | the name was not accepted |
//! | 0x107 | PROTOCOL_VERSION | the two sides speak different versions of the protocol |
//! | 0x108 | REFUSED | the server refused the player for a reason of its own |
//! | 0x109 | JOIN_TIMEOUT | joining took too long |
//! | 0x10a | EXPIRED_TOKEN | the token has expired |
//! | 0x110 | PROTOCOL_VIOLATION | the other side did what the protocol forbids |
//! | 0x111 | MALFORMED | the other side sent bytes that mean nothing |
//! | 0x112 | TOO_LARGE | the other side sent more than a limit allows |
//! | 0x113 | RATE | the other side sent more often than its budget allows |
//! | 0x114 | SLOW_CONSUMER | the other side did not read fast enough |
//! | 0x115 | INTERNAL | an internal error of the side that closed |
//! | 0x116 | TOO_MANY_ATTEMPTS | too many attempts to join from one address |
//!
//! Call codes stand in replies of status 3, in `RESET_STREAM` and in `STOP_SENDING`. Those from 0x20 to
//! 0x2f promise that no handler ran; of 0x31, 0x33, 0x34 and 0x36 one did; of the others one may have.
//!
//! | code | name | meaning |
//! |---|---|---|
//! | 0x00 | DROPPED | the stream was dropped without a verdict |
//! | 0x10 | CANCELLED | the caller no longer wants the result |
//! | 0x11 | CALLER_DEADLINE | the caller's deadline passed |
//! | 0x20 | BUSY | too many calls are running and waiting |
//! | 0x21 | RATE_LIMITED | the caller calls more often than it may |
//! | 0x22 | DRAINING | the callee is shutting down |
//! | 0x23 | UNKNOWN_FUNCTION | the callee knows no function of that id |
//! | 0x24 | NO_HANDLER | the function has no handler |
//! | 0x25 | SIGNATURE | the two sides declare the function with different types |
//! | 0x26 | DENIED | the caller may not call the function |
//! | 0x27 | REQUEST_TOO_LARGE | the request is longer than the callee accepts |
//! | 0x28 | REQUEST_MALFORMED | the request could not be read |
//! | 0x29 | REQUEST_STALLED | the request did not arrive in time |
//! | 0x30 | CALLEE_DEADLINE | the deadline passed at the callee |
//! | 0x31 | PANICKED | the handler panicked |
//! | 0x32 | ABANDONED | the handler ended without an answer |
//! | 0x33 | RESPONSE_TOO_LARGE | the result is longer than the caller accepts |
//! | 0x34 | RESPONSE_ENCODE | the result could not be written |
//! | 0x35 | RUNTIME_SHUTDOWN | the callee's runtime ended during the call |
//! | 0x36 | HANDLER_INTERNAL | the handler failed with an internal error |
//!
//! # 14. Payload encoding
//!
//! Payloads are in the format known as bincode 2, in its `standard` configuration. It is not
//! self-describing: both sides know the type. Multi-byte values are little-endian. Its integers are
//! **not** the `varint` of section 2.
//!
//! | type | bytes |
//! |---|---|
//! | `bool` | one byte, 0 or 1; others are invalid |
//! | `u8`, `i8` | one byte, as it is (`i8` in two's complement) |
//! | `u16`, `u32`, `u64`, `u128` | below 251 one byte; below 2^16 the byte 251 and 2 bytes; below 2^32 the byte 252 and 4 bytes; below 2^64 the byte 253 and 8 bytes; else the byte 254 and 16 bytes. 255 is invalid, and so is a form that is wider than the type |
//! | `i16`, `i32`, `i64`, `i128` | first zigzag: `n` becomes `2n` if it is 0 or more, else `-2n - 1`; then as the unsigned type of that width |
//! | `usize`, `isize` | as `u64`, `i64` |
//! | `f32`, `f64` | 4 or 8 bytes, IEEE 754; every bit pattern is kept |
//! | `char` | its UTF-8 form of 1 to 4 bytes, without a length |
//! | text | the number of bytes as a `u64`, then UTF-8 |
//! | bytes | the number of bytes as a `u64`, then the bytes |
//! | sequence (list, set) | the number of items as a `u64`, then the items |
//! | map | the number of entries as a `u64`, then key and value of each |
//! | optional | the byte 0 if there is none; else the byte 1 and the value. Other bytes are invalid |
//! | unit, struct without fields | nothing |
//! | tuple, array of fixed length, struct | its items or fields in order of declaration; no count, no names |
//! | enum | the index of the variant, from 0 in order of declaration, as a `u32`; then the variant's fields as a tuple |
//! | result | an enum: index 0 and the value, or index 1 and the error |
//!
//! Writers use the shortest form of an integer. Nothing may follow the value: a payload with bytes left
//! over is invalid. Several arguments are a tuple. Example: `(7u8, -3i32, "hi", Some(300u16))` is
//! `07 05 02 68 69 01 fb 2c 01`.
//!
//! Receivers bound what they decode: a count is no reason to allocate, nesting has a limit.
//!
//! # 15. Versions
//!
//! The ALPN protocol names the generation. Within `farfire/1`, the length, the protocol number behind
//! it, and the whole of `Refused` keep their place for ever, so that two sides can always tell each
//! other which versions they speak. Everything else may change with the protocol number, which is 1
//! here. Without a new number, fields may be added at the end of `Hello`, `Welcome` and `Refused`,
//! settings and codes may be added, and nothing else.

pub(crate) mod code;
pub(crate) mod control;
pub(crate) mod datagram;
pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod invoke;
pub(crate) mod prelude;
pub(crate) mod read;
pub(crate) mod remote;
pub(crate) mod sequence;
pub(crate) mod varint;

/// The ALPN protocol of both sides.
pub(crate) const ALPN: &[u8] = b"farfire/1";

/// The version of the protocol that this build speaks: the number in `Hello`, and in `Refused`.
pub const PROTOCOL_VERSION: u32 = 1;

/// How many calls may be under way within each other, beside the outermost.
pub(crate) const MAX_CALL_DEPTH: u8 = 8;

/// The id of frames that carry a [`control::Control`]; remotes start at 1.
pub(crate) const CONTROL_ID: u32 = 0;

/// The largest payload of an unreliable event, in bytes: what the engine that farfire follows allows, too.
pub(crate) const MAX_UNRELIABLE_PAYLOAD: usize = 1000;

/// The largest datagram, in bytes. QUIC offers 1162 on the narrowest path (1200), and the largest event needs 1012.
pub(crate) const MAX_DATAGRAM: usize = 1150;

/// The largest control message, in bytes: an announcement of the longest name and shape has 1008.
pub(crate) const MAX_CONTROL_BYTES: usize = 1024;

/// The longest name of a remote, in characters.
pub(crate) const MAX_NAME_CHARS: usize = 100;

/// The longest name of a remote or a player, in bytes: 100 characters have up to four each.
pub(crate) const MAX_NAME_BYTES: usize = 4 * MAX_NAME_CHARS;

/// The longest shape, in bytes. Longer ones are sent as empty: unchecked.
pub(crate) const MAX_SHAPE_BYTES: usize = 600;

/// The longest name of a lane, in bytes.
pub(crate) const MAX_LANE_NAME_BYTES: usize = 64;

/// The most lanes per direction, the default one included.
pub(crate) const MAX_LANES: usize = 16;

/// The most remotes of a connection, and so the highest id. A table of ids stays small even for a hostile peer.
pub(crate) const MAX_REMOTES: usize = 4096;

/// The longest text that says why, in bytes: of a close, a refusal or a failed call.
pub(crate) const MAX_REASON_BYTES: usize = 256;

/// The longest hello, in bytes: it comes from someone who has not been let in yet.
pub(crate) const MAX_HELLO_BYTES: usize = 64 * 1024;

/// The longest welcome, in bytes: as much as any other payload of a server.
pub(crate) const MAX_WELCOME_BYTES: usize = 1024 * 1024;

/// The longest token, in bytes: signed ones of common formats have one or two thousand.
pub(crate) const MAX_TOKEN_BYTES: usize = 4096;

/// The most settings in a welcome.
pub(crate) const MAX_SETTINGS: usize = 64;

/// The longest name or value of a setting, in bytes.
pub(crate) const MAX_SETTING_BYTES: usize = 1024;

/// The most events by which a barrier may be ahead of those seen. A frame has at least two bytes, so this
/// is beyond what a peer can have in its outbox and in flight, however large it made them.
pub(crate) const MAX_BARRIER_AHEAD: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_has_the_limits() {
        let specification = include_str!("mod.rs");
        for phrase in [
            format!("at most {MAX_HELLO_BYTES} bytes after the length"),
            format!("at most {MAX_WELCOME_BYTES} bytes after the length"),
            format!("| name | `text` | {MAX_NAME_BYTES} bytes |"),
            format!("| token | `bytes` | {MAX_TOKEN_BYTES} bytes |"),
            format!("| remotes | `list of Remote` | {MAX_REMOTES} |"),
            format!("| {MAX_SETTINGS}; {MAX_SETTING_BYTES} bytes per text |"),
            format!("| detail | `text` | {MAX_REASON_BYTES} bytes |"),
            format!("| 1 to {MAX_NAME_CHARS} characters"),
            format!("| shape | `text` | {MAX_SHAPE_BYTES} bytes |"),
            format!("| id | `varint32` | 1 to {MAX_REMOTES} |"),
            format!("| unreliable event | {MAX_UNRELIABLE_PAYLOAD}, always |"),
            format!("| control message | {MAX_CONTROL_BYTES}, always |"),
            format!("| name | `text` | {MAX_LANE_NAME_BYTES} bytes |"),
            format!("A datagram of at most {MAX_DATAGRAM} bytes"),
            format!("more than {MAX_LANES} lanes"),
            format!("more than {MAX_BARRIER_AHEAD} events"),
            format!("`{}`", str::from_utf8(ALPN).unwrap()),
        ] {
            assert!(specification.contains(&phrase), "missing: {phrase}");
        }
    }
}
