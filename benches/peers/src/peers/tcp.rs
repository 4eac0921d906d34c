//! TCP without delay, frames with a length and a number, bodies with bincode: what one writes by hand.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};

use super::Peer;
use crate::work::{Body, Calls, Counter, Events, Figures, Kind, Load, drive_calls, drive_events};

pub const PEER: Peer = Peer {
    name: "tcp + bincode",
    note: "no encryption; written by hand",
    can: |load| {
        !matches!(
            load,
            Load::RoundTrip(Kind::Unreliable) | Load::Flood(Kind::Unreliable)
        )
    },
    serve: || super::block_on(serve()),
    drive: |place, load, count| super::block_on(drive(place, load, count)),
};

async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    super::ready(listener.local_addr().unwrap());
    let (stream, _) = listener.accept().await.unwrap();
    let (mut read, mut write) = split(stream);
    let mut counter = Counter::default();
    while let Some((number, body)) = read_frame(&mut read).await {
        if let Some((_, answer)) = counter.take(Kind::Reliable, body) {
            write_frame(&mut write, number, answer).await;
        }
        // Answers leave together when there is nothing more to read.
        if read.buffer().is_empty() {
            write.flush().await.unwrap();
        }
    }
}

async fn drive(place: &str, load: Load, count: u64) -> Figures {
    let stream = TcpStream::connect(place).await.unwrap();
    let (read, write) = split(stream);
    match load {
        Load::Calls { in_flight } => {
            let local = tokio::task::LocalSet::new();
            local
                .run_until(async {
                    drive_calls(&Pipelined::start(read, write), in_flight, count).await
                })
                .await
        }
        _ => drive_events(&mut Tcp { read, write }, load, count).await,
    }
}

struct Tcp {
    read: BufReader<OwnedReadHalf>,
    write: BufWriter<OwnedWriteHalf>,
}

impl Events for Tcp {
    async fn send(&mut self, _: Kind, body: Body) {
        write_frame(&mut self.write, 0, body).await;
    }

    async fn flush(&mut self) {
        self.write.flush().await.unwrap();
    }

    async fn receive(&mut self) -> Body {
        read_frame(&mut self.read).await.expect("an answer").1
    }
}

/// Many calls on one stream, told apart by their numbers.
struct Pipelined {
    queue: mpsc::UnboundedSender<(u32, Body)>,
    waiting: Rc<RefCell<HashMap<u32, oneshot::Sender<Body>>>>,
    next: RefCell<u32>,
}

impl Pipelined {
    fn start(mut read: BufReader<OwnedReadHalf>, mut write: BufWriter<OwnedWriteHalf>) -> Self {
        let (queue, mut queued) = mpsc::unbounded_channel::<(u32, Body)>();
        tokio::task::spawn_local(async move {
            while let Some((number, body)) = queued.recv().await {
                write_frame(&mut write, number, body).await;
                while let Ok((number, body)) = queued.try_recv() {
                    write_frame(&mut write, number, body).await;
                }
                write.flush().await.unwrap();
            }
        });
        let waiting = Rc::new(RefCell::new(HashMap::<u32, oneshot::Sender<Body>>::new()));
        let answered = Rc::clone(&waiting);
        tokio::task::spawn_local(async move {
            while let Some((number, body)) = read_frame(&mut read).await {
                if let Some(caller) = answered.borrow_mut().remove(&number) {
                    let _ = caller.send(body);
                }
            }
        });
        Self {
            queue,
            waiting,
            next: RefCell::new(0),
        }
    }
}

impl Calls for Pipelined {
    async fn call(&self, body: Body) -> Body {
        let number = self.next.replace_with(|next| next.wrapping_add(1));
        let (send, receive) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, send);
        self.queue.send((number, body)).unwrap();
        receive.await.unwrap()
    }
}

fn split(stream: TcpStream) -> (BufReader<OwnedReadHalf>, BufWriter<OwnedWriteHalf>) {
    stream.set_nodelay(true).unwrap();
    let (read, write) = stream.into_split();
    (
        BufReader::with_capacity(16 * 1024, read),
        BufWriter::with_capacity(16 * 1024, write),
    )
}

async fn write_frame(write: &mut BufWriter<OwnedWriteHalf>, number: u32, body: Body) {
    let mut frame = [0; 128];
    let len = bincode::serde::encode_into_slice(body, &mut frame[6..], CODEC).unwrap();
    frame[..2].copy_from_slice(&(len as u16).to_le_bytes());
    frame[2..6].copy_from_slice(&number.to_le_bytes());
    write.write_all(&frame[..6 + len]).await.unwrap();
}

async fn read_frame(read: &mut BufReader<OwnedReadHalf>) -> Option<(u32, Body)> {
    let len = usize::from(read.read_u16_le().await.ok()?);
    let number = read.read_u32_le().await.ok()?;
    let mut body = [0; 128];
    read.read_exact(&mut body[..len]).await.ok()?;
    let (body, _) = bincode::serde::decode_from_slice(&body[..len], CODEC).ok()?;
    Some((number, body))
}

const CODEC: bincode::config::Configuration = bincode::config::standard();
