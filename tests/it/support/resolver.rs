use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use super::workdir::Workdir;

/// A DNS server on loopback that answers as a test says.
pub(crate) struct Resolver {
    address: Ipv4Addr,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

/// How often a name was asked for before, and what it gives: addresses of either kind.
pub(crate) type Answers = fn(&str, usize) -> Vec<IpAddr>;

const A: u16 = 1;
const AAAA: u16 = 28;

impl Resolver {
    /// At port 53 of a loopback address of its own; nothing where only root may have that port.
    pub(crate) fn start(answers: Answers) -> Option<Self> {
        let id = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 77, id[2], id[3].max(2));
        let socket = match UdpSocket::bind((address, 53)) {
            Ok(socket) => socket,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                println!("SKIPPED: only root may answer at port 53");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                let Some((name, kind, end)) = question(&packet[..length]) else {
                    continue;
                };
                // Both kinds are asked for at once, and count as one.
                let before = {
                    let mut seen = seen.lock().unwrap();
                    let count = seen.entry(format!("{name} {kind}")).or_default();
                    *count += 1;
                    *count - 1
                };
                let found = answers(&name, before);
                let answer = answer(&packet[..end], kind, &found);
                socket.send_to(&answer, from).ok();
            }
        });
        Some(Self { address, asked })
    }

    /// How often it was asked for the IPv4 addresses of a name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(&format!("{name} {A}")).copied().unwrap_or_default()
    }

    /// Shell commands that let whoever comes after them, in the same mount namespace, ask it.
    pub(crate) fn mounts(&self, work: &Workdir) -> String {
        let mount = |name: &str, text: String| {
            let file: PathBuf = work.write(name, text);
            format!("mount --bind {} /etc/{name}\n", fs::canonicalize(file).unwrap().display())
        };
        mount("resolv.conf", format!("nameserver {}\n", self.address))
            + &mount("nsswitch.conf", "hosts: files dns\n".to_owned())
    }
}

/// The name and the type asked for, and where the question ends (RFC 1035 §4.1).
fn question(packet: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

fn answer(question: &[u8], kind: u16, found: &[IpAddr]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = found
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(v4), A) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), AAAA) => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut packet = question[..2].to_vec();
    // An answer, recursion wanted and available; one question, these answers, and nothing else.
    packet.extend([0x81, 0x80, 0, 1, 0, data.len() as u8, 0, 0, 0, 0]);
    packet.extend(&question[12..]);
    for data in data {
        // The name of the question, in the internet, for no time at all.
        packet.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 0, 0, data.len() as u8]);
        packet.extend(data);
    }
    packet
}
