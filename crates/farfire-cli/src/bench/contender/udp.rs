//! Raw UDP: one thread that answers, a socket and a reading thread per client. No encryption, no order,
//! no delivery: the floor that everything over UDP stands on.

use std::{
    io,
    net::UdpSocket,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Contender, Door, Setting, Side, Traffic};
use crate::{
    bench::{
        cell::Cell,
        payload::{RELIABLE, Stamp},
        recording::Sink,
        schedule::Send as SendEvents,
    },
    exit::Complaint,
};

/// Counters, the sink and what is sent: what the two plain baselines share.
#[derive(Default)]
pub(super) struct Common {
    pub(super) sink: Sink,
    pub(super) event: Mutex<Vec<u8>>,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) sends: AtomicU64,
}

impl Common {
    /// As many bytes as farfire would send for the same arguments.
    pub(super) fn load(&self, cell: &Cell) -> Result<(), Complaint> {
        let size = cell.payload.args(cell.seed).ok();
        let size = size.and_then(|args| RELIABLE.encoded_len(&args).ok());
        let size = size.unwrap_or_default().max(Stamp::LEN);
        *self.event.lock().unwrap_or_else(PoisonError::into_inner) = vec![7; size];
        Ok(())
    }

    /// Sends one event by `write`, which says whether it went.
    pub(super) fn send(&self, stamp: Stamp, write: impl FnOnce(&[u8]) -> bool) -> bool {
        let mut event = self.event.lock().unwrap_or_else(PoisonError::into_inner);
        event[..Stamp::LEN].copy_from_slice(&stamp.to_bytes());
        let went = write(&event);
        self.sent.fetch_add(event.len() as u64, Relaxed);
        self.sends.fetch_add(1, Relaxed);
        went
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            sent_bytes: self.sent.load(Relaxed),
            received_bytes: self.received.load(Relaxed),
            datagrams: self.sends.load(Relaxed),
            send_calls: self.sends.load(Relaxed),
        }
    }
}

struct Serving(Common);

pub(super) fn serve() -> io::Result<(Door, Arc<dyn Side>)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(LOOK_AGAIN))?;
    let door = Door {
        contender: Contender::Udp,
        address: socket.local_addr()?,
        secret: Vec::new(),
    };
    let serving = Arc::new(Serving(Common::default()));
    let weak = Arc::downgrade(&serving);
    thread::Builder::new()
        .name("udp-server".into())
        .spawn(move || echo(&socket, &weak))?;
    Ok((door, serving))
}

/// Until nobody holds the server any more.
fn echo(socket: &UdpSocket, serving: &Weak<Serving>) {
    let mut buffer = vec![0; LARGEST];
    while let Some(Serving(common)) = serving.upgrade().as_deref() {
        let Ok((count, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        common.received.fetch_add(count as u64, Relaxed);
        if socket.send_to(&buffer[..count], from).is_ok() {
            common.sent.fetch_add(count as u64, Relaxed);
            common.sends.fetch_add(1, Relaxed);
        }
    }
}

impl Side for Serving {
    fn load(&self, _: &Cell) -> Result<(), Complaint> {
        Ok(())
    }

    fn sink(&self) -> &Sink {
        &self.0.sink
    }

    fn traffic(&self) -> Traffic {
        self.0.traffic()
    }
}

impl SendEvents for Serving {
    fn send(&self, _: u32, _: Stamp) -> bool {
        false
    }

    fn flush(&self) {}
}

struct Clients {
    sockets: Vec<UdpSocket>,
    common: Common,
}

pub(super) fn connect(
    door: &Door,
    setting: &Setting,
) -> io::Result<(Arc<dyn Side>, Vec<Duration>)> {
    let mut took = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..setting.clients {
        let began = Instant::now();
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(door.address)?;
        socket.set_read_timeout(Some(LOOK_AGAIN))?;
        took.push(began.elapsed());
        sockets.push(socket);
    }
    let readers: Vec<_> = sockets.iter().map(UdpSocket::try_clone).collect();
    let clients = Arc::new(Clients {
        sockets,
        common: Common::default(),
    });
    for (number, reader) in readers.into_iter().enumerate() {
        let (reader, weak) = (reader?, Arc::downgrade(&clients));
        thread::Builder::new()
            .name("udp-client".into())
            .spawn(move || read(number as u32, &reader, &weak))?;
    }
    Ok((clients, took))
}

fn read(number: u32, socket: &UdpSocket, clients: &Weak<Clients>) {
    let mut buffer = vec![0; LARGEST];
    while let Some(clients) = clients.upgrade() {
        if let Ok(count) = socket.recv(&mut buffer) {
            let common = &clients.common;
            common.received.fetch_add(count as u64, Relaxed);
            common.sink.arrived(number, &buffer[..count]);
        }
    }
}

impl Side for Clients {
    fn load(&self, cell: &Cell) -> Result<(), Complaint> {
        self.common.load(cell)
    }

    fn sink(&self) -> &Sink {
        &self.common.sink
    }

    fn traffic(&self) -> Traffic {
        self.common.traffic()
    }
}

impl SendEvents for Clients {
    fn send(&self, sender: u32, stamp: Stamp) -> bool {
        let socket = &self.sockets[sender as usize];
        self.common.send(stamp, |event| socket.send(event).is_ok())
    }

    fn flush(&self) {}
}

/// The longest UDP payload.
const LARGEST: usize = 65_536;
/// How long a reading thread outlives whoever it reads for.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
