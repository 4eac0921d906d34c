//! Sockets and endpoints: bound with room for a burst, dual-stack where that is asked for.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Once},
    time::Duration,
};

use quinn::{
    AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, ServerConfig,
    TokioRuntime,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Network, udp::Udp};
use crate::conditioner::ConditionedSocket;

impl Network {
    /// An endpoint that listens on the first of `addresses` whose port is not taken, on the first thread.
    ///
    /// The error comes with the address that it is about, which is the last one if all are taken.
    pub(crate) fn server_endpoint(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
        config: ServerConfig,
    ) -> Result<Endpoint, (SocketAddr, io::Error)> {
        let _entered = self.runtime(0).enter();
        let mut taken = None;
        for address in addresses {
            let config = Some(config.clone());
            match self.endpoint(address, EndpointConfig::default(), config) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    taken = Some((address, error));
                }
                opened => return opened.map_err(|error| (address, error)),
            }
        }
        Err(taken.unwrap_or_else(|| {
            let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            (nowhere, io::ErrorKind::AddrNotAvailable.into())
        }))
    }

    /// An endpoint for clients that connect to an address like `peer`; call it on a network thread.
    pub(super) fn local_endpoint(&self, peer: SocketAddr, alone: bool) -> io::Result<Endpoint> {
        let any: SocketAddr = match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let mut config = EndpointConfig::default();
        if alone {
            config.cid_generator(|| Box::new(NoConnectionIds));
        }
        self.endpoint(any, config, None)
    }

    fn endpoint(
        &self,
        address: SocketAddr,
        config: EndpointConfig,
        server: Option<ServerConfig>,
    ) -> io::Result<Endpoint> {
        let socket = self.socket(address)?;
        let socket = match &self.inner.conditioner {
            Some(conditioner) => Arc::new(ConditionedSocket::new(socket, conditioner.clone())),
            None => socket,
        };
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))
    }

    fn socket(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        #[cfg(feature = "testing")]
        if let Some(net) = &self.inner.simulated {
            return net.bind(address);
        }
        Ok(Arc::new(Udp::new(bind(address)?)?))
    }
}

/// A UDP socket on `address`; `[::]` takes IPv4 as well.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // The default differs between systems.
        socket.set_only_v6(false)?;
    }
    ask_for_buffers(&socket);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// For one connection on a socket: no id is needed to tell it from others, and every packet that it
/// receives is eight bytes smaller.
struct NoConnectionIds;

impl ConnectionIdGenerator for NoConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&[])
    }

    fn cid_len(&self) -> usize {
        0
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn ask_for_buffers(socket: &Socket) {
    static SAID: Once = Once::new();
    // Best effort: the system may allow less, and says so only when it is asked.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    let got = socket.recv_buffer_size().unwrap_or(0);
    if got < ENOUGH {
        SAID.call_once(|| {
            tracing::warn!(
                asked = BUFFER,
                got,
                "the system limits UDP buffers, bursts may be lost: raise net.core.rmem_max and net.core.wmem_max"
            );
        });
    }
}

/// A burst from a thousand players fits.
const BUFFER: usize = 8 * 1024 * 1024;
/// Below this a burst from a hundred does not.
const ENOUGH: usize = 400 * 1024;
