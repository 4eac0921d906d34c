//! TCP as it is used for games: no delay, each event behind its length. No encryption; a lost packet
//! delays what is behind it.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{Contender, Door, Setting, Side, Traffic, udp::Common};
use crate::{
    bench::{
        cell::Cell, meter::SERVES, payload::Stamp, recording::Sink, schedule::Send as SendEvents,
    },
    exit::Complaint,
};

struct Serving {
    common: Arc<Common>,
    /// Woken by one last connection when the server goes.
    address: std::net::SocketAddr,
}

pub(super) fn serve() -> io::Result<(Door, Arc<dyn Side>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let door = Door {
        contender: Contender::Tcp,
        address,
        secret: Vec::new(),
    };
    let common = Arc::<Common>::default();
    let weak = Arc::downgrade(&common);
    thread::Builder::new()
        .name("tcp-accept".into())
        .spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let Some(common) = weak.upgrade() else { return };
                let thread = thread::Builder::new().name(SERVES.into());
                // Without a thread the client sees its connection closed.
                let _ = thread.spawn(move || echo(stream, &common));
            }
        })?;
    Ok((door, Arc::new(Serving { common, address })))
}

/// Sends back what comes until the client goes; framing needs no look at it.
fn echo(mut stream: TcpStream, common: &Common) {
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        common.received.fetch_add(count as u64, Relaxed);
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
        common.sent.fetch_add(count as u64, Relaxed);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let address = self.address;
        self.common = Arc::default();
        let _ = TcpStream::connect(address);
    }
}

impl Side for Serving {
    fn load(&self, _: &Cell) -> Result<(), Complaint> {
        Ok(())
    }

    fn sink(&self) -> &Sink {
        &self.common.sink
    }

    fn traffic(&self) -> Traffic {
        unknown_calls(&self.common)
    }
}

impl SendEvents for Serving {
    fn send(&self, _: u32, _: Stamp) -> bool {
        false
    }

    fn flush(&self) {}
}

struct Clients {
    streams: Vec<TcpStream>,
    common: Arc<Common>,
}

pub(super) fn connect(
    door: &Door,
    setting: &Setting,
) -> io::Result<(Arc<dyn Side>, Vec<Duration>)> {
    let mut took = Vec::new();
    let mut streams = Vec::new();
    let common = Arc::<Common>::default();
    for number in 0..setting.clients {
        let began = Instant::now();
        let stream = TcpStream::connect(door.address)?;
        stream.set_nodelay(true)?;
        took.push(began.elapsed());
        let (reader, common) = (stream.try_clone()?, common.clone());
        thread::Builder::new()
            .name("tcp-client".into())
            .spawn(move || read(number, reader, &common))?;
        streams.push(stream);
    }
    Ok((Arc::new(Clients { streams, common }), took))
}

/// Until the connection ends.
fn read(number: u32, stream: TcpStream, common: &Common) {
    let mut stream = io::BufReader::with_capacity(256 * 1024, stream);
    let mut event = Vec::new();
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        // What the echo sends back is what was sent: no length is longer than an event.
        event.resize(u32::from_le_bytes(length) as usize, 0);
        if stream.read_exact(&mut event).is_err() {
            return;
        }
        let count = length.len() + event.len();
        common.received.fetch_add(count as u64, Relaxed);
        common.sink.arrived(number, &event);
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for stream in &self.streams {
            let _ = stream.shutdown(Shutdown::Both);
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
        unknown_calls(&self.common)
    }
}

impl SendEvents for Clients {
    fn send(&self, sender: u32, stamp: Stamp) -> bool {
        let mut stream = &self.streams[sender as usize];
        self.common.send(stamp, |event| {
            // One write, as one packet: two would be two system calls.
            let frame = [&(event.len() as u32).to_le_bytes()[..], event].concat();
            stream.write_all(&frame).is_ok()
        })
    }

    fn flush(&self) {}
}

/// How TCP cuts what it is given into packets is the kernel's to know.
fn unknown_calls(common: &Common) -> Traffic {
    Traffic {
        datagrams: 0,
        send_calls: 0,
        ..common.traffic()
    }
}
