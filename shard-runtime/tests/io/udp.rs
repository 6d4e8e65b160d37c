//! UDP sockets.

use crate::owner::address;
use crate::support::{LIMIT, Probe, counters, node, probe, until};
use shard_runtime::prelude::*;
use shard_runtime::{CloseIo, Io, UdpPacket, UdpServer};
use std::net::UdpSocket;
use std::sync::mpsc::Sender;
use std::time::Duration;

#[derive(Debug)]
enum Heard {
    Up(Io),
    Failed(String),
    Packet(UdpPacket),
}

struct Talker {
    spec: Option<UdpServer>,
    tell: Sender<Heard>,
    echoes: bool,
}

#[message(local, reply = ())]
struct Ask;

#[actor]
impl Talker {
    fn init(&mut self, cx: &mut Context<'_>) -> ActorResult {
        if let Some(spec) = self.spec.take() {
            let heard = match cx.spawn_io(spec) {
                Ok(io) => Heard::Up(io),
                Err(error) => Heard::Failed(error.to_string()),
            };
            let _ = self.tell.send(heard);
        }
        Ok(())
    }

    #[handle]
    fn packet(&mut self, m: UdpPacket, cx: &mut Context<'_>) -> ActorResult {
        if self.echoes {
            let _closed = cx.send(m.id, m);
        } else {
            let _ = self.tell.send(Heard::Packet(m));
        }
        Ok(())
    }

    #[handle]
    fn ask(&mut self, _: Ask, _cx: &mut Context<'_>) -> ActorResult {
        Ok(())
    }
}

fn talker(node: &Node, spec: UdpServer, echoes: bool) -> (Pid, Io, Probe<Heard>) {
    let (tell, heard) = probe();
    let pid = node
        .spawn(move || Talker { spec: Some(spec), tell, echoes }, SpawnOptions::new().on_shard(0))
        .unwrap();
    let Heard::Up(io) = heard.next() else { panic!("it could not be opened") };
    (pid, io, heard)
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn entry(node: &Node, pid: Pid, key: &str) -> u64 {
    let shown = node.inspect_blocking(pid, Vec::new(), Duration::from_secs(5)).unwrap();
    shown.iter().find(|(found, _)| found == key).unwrap().1.parse().unwrap()
}

#[test]
fn datagrams_go_both_ways() {
    let node = node("udp", 1);
    let (_, socket, _heard) = talker(&node, UdpServer::bind("127.0.0.1:0"), true);
    let peers = [peer(), peer()];
    for size in [0, 1, 1472, 60_000] {
        for peer in &peers {
            peer.send_to(&vec![size as u8; size], address(&socket)).unwrap();
            let mut back = vec![0; 65_536];
            let (read, from) = peer.recv_from(&mut back).unwrap();
            assert_eq!((read, from), (size, address(&socket)));
            assert!(back[..size].iter().all(|&byte| byte == size as u8));
        }
    }
    until("counted", || counters(&node).io_bytes_out == 2 * 61_473);
    assert_eq!(entry(&node, socket.pid, "packets in"), 8);
    assert_eq!(counters(&node).io_dropped, 0);
}

#[test]
fn a_datagram_that_is_too_long_is_dropped_and_never_cut() {
    let node = node("long", 1);
    let (_, socket, heard) = talker(&node, UdpServer::bind("127.0.0.1:0").max_packet(100), false);
    let peer = peer();
    peer.send_to(&[1; 101], address(&socket)).unwrap();
    peer.send_to(&[2; 65_507], address(&socket)).unwrap();
    peer.send_to(&[3; 100], address(&socket)).unwrap();
    let Heard::Packet(packet) = heard.next() else { panic!() };
    assert_eq!((packet.data.len(), packet.address), (100, peer.local_addr().unwrap()));
    assert_eq!(entry(&node, socket.pid, "truncated"), 2);
    until("counted", || counters(&node).io_dropped == 2);
    // Nor is one sent that no datagram can hold.
    let address = peer.local_addr().unwrap();
    node.send(socket.id, UdpPacket { id: socket.id, address, data: vec![4; 65_508].into() }).unwrap();
    node.send(socket.id, UdpPacket { id: socket.id, address, data: "fits".into() }).unwrap();
    let mut back = [0; 16];
    assert_eq!(peer.recv_from(&mut back).unwrap().0, 4);
    assert_eq!(entry(&node, socket.pid, "dropped out"), 1);
}

#[test]
fn what_a_receiver_has_no_room_for_is_dropped_and_counted() {
    let node = node("drops", 1);
    // The packets stay in the probe: nothing of the window comes back.
    let (_, socket, heard) = talker(&node, UdpServer::bind("127.0.0.1:0").max_unhandled(10_000), false);
    let peer = peer();
    for _ in 0..40 {
        peer.send_to(&[9; 1000], address(&socket)).unwrap();
    }
    until("all are read", || entry(&node, socket.pid, "packets in") == 40);
    assert_eq!(entry(&node, socket.pid, "dropped in"), 30, "ten of 1,064 bytes fill the window");
    for _ in 0..10 {
        assert!(matches!(heard.next(), Heard::Packet(_)));
    }
    peer.send_to(&[8; 1000], address(&socket)).unwrap();
    let Heard::Packet(packet) = heard.next() else { panic!() };
    assert!(packet.data == [8; 1000], "it goes on after that");
    until("counted", || counters(&node).io_dropped == 30);

    let (_, socket, _heard) = talker(&node, UdpServer::bind("127.0.0.1:0").to("nobody"), false);
    peer.send_to(b"lost", address(&socket)).unwrap();
    until("nobody gets it", || entry(&node, socket.pid, "dropped in") == 1);
}

#[test]
fn a_peer_that_cannot_be_reached_harms_nobody() {
    let node = node("unreachable", 1);
    let (_, socket, _heard) = talker(&node, UdpServer::bind("127.0.0.1:0"), true);
    let gone = peer().local_addr().unwrap();
    for address in [gone, "[::1]:9".parse().unwrap(), "127.0.0.1:0".parse().unwrap()] {
        for _ in 0..100 {
            node.send(socket.id, UdpPacket { id: socket.id, address, data: "hello?".into() }).unwrap();
        }
    }
    until("an address of another family is refused", || entry(&node, socket.pid, "dropped out") >= 200);
    let peer = peer();
    peer.send_to(b"still here", address(&socket)).unwrap();
    assert_eq!(peer.recv_from(&mut [0; 16]).unwrap().0, 10);
}

#[test]
fn what_waits_to_be_sent_is_bounded() {
    let node = node("pending", 1);
    let (_, socket, _heard) = talker(&node, UdpServer::bind("127.0.0.1:0").max_pending(1000), false);
    let address = peer().local_addr().unwrap();
    node.send(socket.id, UdpPacket { id: socket.id, address, data: vec![0; 2000].into() }).unwrap();
    until("dropped", || entry(&node, socket.pid, "dropped out") == 1);
    assert_eq!(entry(&node, socket.pid, "bytes pending"), 0);
}

#[test]
fn a_socket_closes_on_request_and_with_its_owner() {
    let node = node("ends", 1);
    let (pid, first, _heard) = talker(&node, UdpServer::bind("127.0.0.1:0"), true);
    let bound = address(&first);
    assert!(UdpSocket::bind(bound).is_err());
    let peer = peer();
    let to = peer.local_addr().unwrap();
    node.send(first.id, UdpPacket { id: first.id, address: to, data: "last words".into() }).unwrap();
    node.send(first.id, CloseIo).unwrap();
    assert_eq!(peer.recv_from(&mut [0; 16]).unwrap().0, 10, "what was sent before it goes out");
    until("it is free again", || UdpSocket::bind(bound).is_ok());
    node.call_blocking(pid, Ask).unwrap();
    let (pid, second, _heard) = talker(&node, UdpServer::bind("127.0.0.1:0"), true);
    node.kill(pid);
    until("it ends with its owner", || UdpSocket::bind(address(&second)).is_ok());
    until("counted", || {
        let counters = counters(&node);
        (counters.io_opened, counters.io_closed, counters.io_failed) == (2, 2, 0)
            && counters.io_descriptors == 0
    });
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let node = node("refused", 1);
    for (spec, why) in [
        (UdpServer::bind("nowhere"), "no address"),
        (UdpServer::bind("127.0.0.1:0").max_packet(0), "max_packet"),
        (UdpServer::bind("127.0.0.1:0").max_packet(65_508), "max_packet"),
        (UdpServer::bind("127.0.0.1:0").max_unhandled(0), "max_unhandled"),
        (UdpServer::bind("127.0.0.1:0").max_pending(0), "max_pending"),
        (UdpServer::bind("203.0.113.1:0"), "cannot listen"),
    ] {
        let (tell, heard) = probe();
        node.spawn(move || Talker { spec: Some(spec), tell, echoes: false }, SpawnOptions::new()).unwrap();
        let Heard::Failed(error) = heard.next() else { panic!("{why} was accepted") };
        assert!(error.contains(why), "{error}");
    }
}
