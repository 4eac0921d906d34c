//! bevy_quinnet: channels on quinn, read and written by an application that is polled.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use bevy::app::App;
use bevy_quinnet::{
    client::{
        ClientConnectionConfiguration, ClientConnectionConfigurationDefaultables, QuinnetClient,
        QuinnetClientPlugin, certificate::CertificateVerificationMode,
        connection::ClientAddrConfiguration,
    },
    server::{
        EndpointAddrConfiguration, QuinnetServer, QuinnetServerPlugin, ServerEndpointConfiguration,
        ServerEndpointConfigurationDefaultables, certificate::CertificateRetrievalMode,
    },
    shared::channels::{ChannelConfig, ChannelId, SendChannelsConfiguration},
};

use super::Peer;
use crate::{
    polled::{self, Looped, Polled},
    work::{Body, Kind, drive_events},
};

pub const PEER: Peer = Peer {
    name: "bevy_quinnet",
    note: "QUIC; polled without a pause",
    can: super::events,
    serve: || polled::serve(Server::start()),
    drive: |place, load, count| {
        super::block_on(drive_events(
            &mut Looped::new(Client::connect(place)),
            load,
            count,
        ))
    },
};

struct Server(App);

impl Server {
    fn start() -> Self {
        let mut app = App::new();
        app.add_plugins(QuinnetServerPlugin::default());
        app.update();
        let mut server = app.world_mut().resource_mut::<QuinnetServer>();
        server
            .start_endpoint(ServerEndpointConfiguration {
                addr_config: EndpointAddrConfiguration::from_ip(Ipv4Addr::LOCALHOST, 0),
                cert_mode: CertificateRetrievalMode::GenerateSelfSigned {
                    server_hostname: "localhost".into(),
                },
                defaultables: ServerEndpointConfigurationDefaultables {
                    send_channels_cfg: channels(),
                    ..Default::default()
                },
            })
            .unwrap();
        super::ready(server.endpoint().local_addr());
        Self(app)
    }
}

impl Polled for Server {
    fn turn(&mut self, inbox: &mut VecDeque<(Kind, Body)>) {
        self.0.update();
        let mut server = self.0.world_mut().resource_mut::<QuinnetServer>();
        let endpoint = server.endpoint_mut();
        for client in endpoint.clients() {
            for kind in [Kind::Reliable, Kind::Unreliable] {
                while let Some(payload) = endpoint.try_receive_payload(client, channel(kind)) {
                    inbox.push_back((kind, Body::from_bytes(&payload)));
                }
            }
        }
    }

    fn send(&mut self, kind: Kind, body: Body) -> bool {
        let mut server = self.0.world_mut().resource_mut::<QuinnetServer>();
        let endpoint = server.endpoint_mut();
        let Some(&client) = endpoint.clients().first() else {
            return false;
        };
        endpoint
            .send_payload_on(client, channel(kind), body.to_bytes().to_vec())
            .is_ok()
    }
}

struct Client(App);

impl Client {
    fn connect(place: &str) -> Self {
        let mut app = App::new();
        app.add_plugins(QuinnetClientPlugin::default());
        app.update();
        let server: SocketAddr = place.parse().unwrap();
        let mut client = app.world_mut().resource_mut::<QuinnetClient>();
        client
            .open_connection(ClientConnectionConfiguration {
                addr_config: ClientAddrConfiguration::from_ips(
                    server.ip(),
                    server.port(),
                    IpAddr::V4(Ipv4Addr::LOCALHOST),
                    0,
                ),
                cert_mode: CertificateVerificationMode::SkipVerification,
                defaultables: ClientConnectionConfigurationDefaultables {
                    send_channels_cfg: channels(),
                    ..Default::default()
                },
            })
            .unwrap();
        while !app.world().resource::<QuinnetClient>().is_connected() {
            app.update();
            std::thread::yield_now();
        }
        Self(app)
    }
}

impl Polled for Client {
    fn turn(&mut self, inbox: &mut VecDeque<(Kind, Body)>) {
        self.0.update();
        let mut client = self.0.world_mut().resource_mut::<QuinnetClient>();
        let connection = client.connection_mut();
        for kind in [Kind::Reliable, Kind::Unreliable] {
            while let Some(payload) = connection.try_receive_payload(channel(kind)) {
                inbox.push_back((kind, Body::from_bytes(&payload)));
            }
        }
    }

    fn send(&mut self, kind: Kind, body: Body) -> bool {
        let mut client = self.0.world_mut().resource_mut::<QuinnetClient>();
        client
            .connection_mut()
            .send_payload_on(channel(kind), body.to_bytes().to_vec())
            .is_ok()
    }
}

fn channels() -> SendChannelsConfiguration {
    SendChannelsConfiguration::from_configs(vec![
        ChannelConfig::default_ordered_reliable(),
        ChannelConfig::default_unreliable(),
    ])
    .unwrap()
}

fn channel(kind: Kind) -> ChannelId {
    match kind {
        Kind::Reliable => 0,
        Kind::Unreliable => 1,
    }
}
