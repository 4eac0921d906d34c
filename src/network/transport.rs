//! How QUIC is set up: the knobs that differ from quinn's defaults, and why.

use std::{sync::Arc, time::Duration};

use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, IdleTimeout, ServerConfig, TransportConfig,
    VarInt,
    congestion::CubicConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use super::gauge::WithGauge;
use crate::{
    config::{Limits, Timeouts},
    session::Side,
};

pub(crate) fn server_config(
    crypto: QuicServerConfig,
    limits: &Limits,
    timeouts: &Timeouts,
) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = transport(Side::Server, limits, timeouts);
    transport.receive_window(VarInt::from_u32(WINDOW_BEFORE_JOIN));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_INCOMING)
        // Without 0-RTT nothing legitimate waits behind a first packet.
        .incoming_buffer_size(64 * 1024)
        .incoming_buffer_size_total(16 * 1024 * 1024);
    config
}

pub(crate) fn client_config(
    crypto: QuicClientConfig,
    limits: &Limits,
    timeouts: &Timeouts,
) -> ClientConfig {
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport(Side::Client, limits, timeouts)));
    config
}

/// Gives a client that is in the window of a player; until then it has only a hello to send.
pub(crate) fn open_window(connection: &Connection, limits: &Limits) {
    let (window, _) = receive_windows(Side::Server, limits);
    connection.set_receive_window(VarInt::from_u32(window));
}

fn transport(side: Side, limits: &Limits, timeouts: &Timeouts) -> TransportConfig {
    let mut config = TransportConfig::default();
    // What one hostile peer can make this side hold: its windows, and no more.
    let (window, stream_window) = receive_windows(side, limits);
    let bidi = match side {
        Side::Server => BIDI_FROM_CLIENT,
        Side::Client => BIDI_FROM_SERVER,
    };
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(bidi))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .receive_window(VarInt::from_u32(window))
        .stream_receive_window(VarInt::from_u32(stream_window))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAMS_UNREAD))
        // quinn's own megabyte is seconds of stale positions.
        .datagram_send_buffer_size(DATAGRAM_QUEUE)
        // Many short streams go out in the order they were written.
        .send_fairness(false)
        .max_idle_timeout(IdleTimeout::try_from(timeouts.idle).ok())
        // Before the first sample a lost packet of the handshake costs three of these.
        .initial_rtt(Duration::from_millis(100));
    if side == Side::Client {
        config.keep_alive_interval(Some(timeouts.keep_alive));
    }
    // A lone event that is lost waits for the peer's acknowledgement delay on top: 5 ms instead of 25.
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.max_ack_delay(Some(Duration::from_millis(5)));
    // As without the extension: a gap is told at once. quinn's 2 has the next packet after a lost one
    // wait for that delay, and with it what was lost.
    acknowledgements.reordering_threshold(VarInt::from_u32(1));
    config.ack_frequency_config(Some(acknowledgements));
    // A game connection hardly ever fills its window, and so never grows it.
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW);
    config.congestion_controller_factory(Arc::new(WithGauge(Arc::new(congestion))));
    config
}

/// What may be on its way to this side, of a connection and of one stream.
///
/// What a client has in its window arrives in one go, and packets of all others behind it: there is as much as
/// its burst asks for. One lane that is not read must not take up the window of the calls.
fn receive_windows(side: Side, limits: &Limits) -> (u32, u32) {
    let (window, stream): (u32, u32) = match side {
        Side::Server => {
            let burst = limits.bytes_from_client.burst;
            let window = burst.saturating_mul(3).clamp(384 * 1024, 1024 * 1024);
            (window, burst.clamp(128 * 1024, 256 * 1024))
        }
        Side::Client => (4 * 1024 * 1024, 1024 * 1024),
    };
    let stream = stream.max(2 * largest_inbound(side, limits));
    (window.max(2 * stream), stream)
}

/// The largest message that this side accepts; its window must hold it.
fn largest_inbound(side: Side, limits: &Limits) -> u32 {
    let bytes = match side {
        Side::Server => limits.payload_from_client,
        Side::Client => limits.payload_from_server,
    };
    u32::try_from(bytes).unwrap_or(u32::MAX / 4)
}

/// The client's calls: 7/8 of these are usable at any time, which is more than it may have under way.
const BIDI_FROM_CLIENT: u32 = 96;
/// The server's calls likewise.
const BIDI_FROM_SERVER: u32 = 80;
/// The longest hello, and as much again for what comes with it.
const WINDOW_BEFORE_JOIN: u32 = 128 * 1024;
/// What QUIC may queue of datagrams: a burst, and no more, since what waits there grows old.
pub(crate) const DATAGRAM_QUEUE: usize = 32 * 1024;
/// Datagrams that QUIC has acknowledged and the session has not looked at: with a quarter of this, one
/// event of ten was lost here when a client fired as fast as it could.
const DATAGRAMS_UNREAD: usize = 256 * 1024;
/// Lanes, and unordered events in flight.
const UNI_STREAMS: u32 = 64;
/// What QUIC keeps for a peer until it is acknowledged.
const SEND_WINDOW: u64 = 512 * 1024;
/// 32 packets: a join snapshot, or a tenth of a second of a busy game over a long way.
const INITIAL_WINDOW: u64 = 32 * 1200;
/// First packets that wait for the accept loop; beyond that they are dropped.
const MAX_INCOMING: usize = 2048;
