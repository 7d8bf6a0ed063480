//! The PROXY protocol, versions 1 and 2: a load balancer in front says, before the first byte of the client,
//! from where that client comes (HAProxy's specification, `proxy-protocol.txt`, 2020).
//!
//! Version 1 is a line, `PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n`, of at most 107 bytes. Version 2 is
//! twelve bytes that no other protocol begins with, a byte for version and command, one for family and
//! transport, the length of the rest in two, and the rest: source and destination, and then values that
//! nobody here needs, which are skipped. What we take of it is the address of the source.

use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::str;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;

/// Who is at the other end, as the load balancer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A client with this address.
    Client(IpAddr),
    /// The load balancer itself, which looks whether we are there, or somebody without an address.
    Own,
}

/// A connection that does not begin as agreed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    #[error("the PROXY header is longer than {most} bytes")]
    Long { most: usize },
    #[error("the PROXY header has {what}")]
    Malformed { what: &'static str },
    #[error("the connection ended within the PROXY header")]
    Read { source: io::Error },
}

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const PROXY: &[u8] = b"PROXY ";
/// The most of version 1.
const LINE: usize = 107;
/// The most of version 2: what it carries beside the addresses is small everywhere.
const BINARY: usize = 4096;
/// The part of it before the addresses.
const FIXED: usize = 16;

/// Reads the header, and nothing that comes after it. It has no deadline of its own.
///
/// # Errors
///
/// If there is none, or one that says nothing clear: the connection has to be closed.
pub(super) async fn read<Io: AsyncRead + Unpin>(io: &mut Io) -> Result<Source, Error> {
    // Either version has more.
    let mut begin = [0; SIGNATURE.len()];
    exact(io, &mut begin).await?;
    if begin == SIGNATURE {
        return binary(io).await;
    }
    if !begin.starts_with(PROXY) {
        return Err(Error::Absent);
    }
    let mut line = begin.to_vec();
    while !line.ends_with(b"\n") {
        if line.len() == LINE {
            return Err(Error::Long { most: LINE });
        }
        let mut byte = [0];
        exact(io, &mut byte).await?;
        line.extend(byte);
    }
    text(&line)
}

/// Version 1.
fn text(line: &[u8]) -> Result<Source, Error> {
    let wrong = |what| Error::Malformed { what };
    let line =
        line.strip_suffix(b"\r\n").ok_or(wrong("a line that does not end with CR and LF"))?;
    let line = str::from_utf8(line).map_err(|_| wrong("bytes that are no text"))?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Source::Own);
    }
    let mut words = || words.next().ok_or(wrong("fewer than six words"));
    let (source, destination, from, to) = (words()?, words()?, words()?, words()?);
    if words().is_ok() {
        return Err(wrong("more than six words"));
    }
    let addresses = match family {
        Some("TCP4") => source.parse::<Ipv4Addr>().and_then(|source| {
            destination.parse::<Ipv4Addr>()?;
            Ok(IpAddr::V4(source))
        }),
        Some("TCP6") => source.parse::<Ipv6Addr>().and_then(|source| {
            destination.parse::<Ipv6Addr>()?;
            Ok(IpAddr::V6(source))
        }),
        _ => return Err(wrong("a family that is not TCP4, TCP6 or UNKNOWN")),
    };
    let source = addresses.map_err(|_| wrong("an address that is none of its family"))?;
    if !is_port(from) || !is_port(to) {
        return Err(wrong("a port that is no number up to 65535"));
    }
    Ok(Source::Client(source.to_canonical()))
}

/// A number as everybody writes it.
fn is_port(text: &str) -> bool {
    let canonical = |port: u16| port.to_string() == text;
    text.parse().is_ok_and(canonical)
}

/// Version 2, behind its signature.
async fn binary<Io: AsyncRead + Unpin>(io: &mut Io) -> Result<Source, Error> {
    let wrong = |what| Error::Malformed { what };
    let mut fixed = [0; FIXED - SIGNATURE.len()];
    exact(io, &mut fixed).await?;
    let [version_and_command, family_and_transport, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version_and_command >> 4 != 2 {
        return Err(wrong("a version that is not 1 or 2"));
    }
    let by_proxy = match version_and_command & 0xf {
        0 => false,
        1 => true,
        _ => return Err(wrong("a command that is not LOCAL or PROXY")),
    };
    // Source, destination and two ports; the unix sockets' are names of 108 bytes.
    let least = match family_and_transport {
        _ if !by_proxy => 0,
        0x00 => 0,
        0x11 => 4 + 4 + 2 + 2,
        0x21 => 16 + 16 + 2 + 2,
        0x31 => 108 + 108,
        _ => return Err(wrong("a family that is no stream of IPv4, IPv6 or a unix socket")),
    };
    if length < least {
        return Err(wrong("less than the addresses of its family take"));
    }
    if FIXED + length > BINARY {
        return Err(Error::Long { most: BINARY });
    }
    let mut source = [0; 16];
    let taken = length.min(source.len());
    exact(io, source.get_mut(..taken).unwrap_or_default()).await?;
    let mut rest = io.take((length - taken) as u64);
    let skipped = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    if skipped.map_err(|source| Error::Read { source })? < (length - taken) as u64 {
        return Err(Error::Read { source: io::ErrorKind::UnexpectedEof.into() });
    }
    let [a, b, c, d, ..] = source;
    Ok(match family_and_transport {
        0x11 if by_proxy => Source::Client(Ipv4Addr::new(a, b, c, d).into()),
        0x21 if by_proxy => Source::Client(IpAddr::from(source).to_canonical()),
        _ => Source::Own,
    })
}

async fn exact<Io: AsyncRead + Unpin>(io: &mut Io, bytes: &mut [u8]) -> Result<(), Error> {
    io.read_exact(bytes).await.map(drop).map_err(|source| Error::Read { source })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    /// What is read of these bytes, and what is left of them.
    fn read_all(bytes: &[u8]) -> (Result<Source, Error>, &[u8]) {
        let mut left = bytes;
        let read = read(&mut left).now_or_never().unwrap();
        (read, left)
    }

    fn v2(version_and_command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&SIGNATURE, &[version_and_command, family][..], &length, payload].concat()
    }

    fn client(address: &str) -> Source {
        Source::Client(address.parse().unwrap())
    }

    #[test]
    fn the_line_says_who_the_client_is() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LINE - 16));
        for (line, source) in [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", client("192.0.2.7")),
            ("PROXY TCP6 2001:db8::7 ::1 0 65535\r\n", client("2001:db8::7")),
            ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", client("192.0.2.7")),
            ("PROXY UNKNOWN\r\n", Source::Own),
            (longest.as_str(), Source::Own),
        ] {
            let bytes = format!("{line}\x16\x03");
            let (read, left) = read_all(bytes.as_bytes());
            assert_eq!((read.unwrap(), left), (source, &b"\x16\x03"[..]), "{line}");
        }
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY\tTCP4 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
            "PROXY unknown\r\n",
            "PROXY TCP4 192.0.2.7 198.51.1",
        ] {
            assert!(read_all(line.as_bytes()).0.is_err(), "{line}");
        }
        let longer = longest.replace("UNKNOWN ", "UNKNOWN f");
        assert!(matches!(read_all(longer.as_bytes()).0, Err(Error::Long { most: LINE })));
    }

    #[test]
    fn the_binary_header_says_who_the_client_is() {
        let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        let with_values = [&v4[..], b"\x03\0\x04\x01\x02\x03\x04\x04\0\x01x"].concat();
        for (header, source) in [
            (v2(0x21, 0x11, &v4), client("192.0.2.7")),
            (v2(0x21, 0x11, &with_values), client("192.0.2.7")),
            (v2(0x21, 0x21, &v6), client("2001:db8::7")),
            (v2(0x21, 0x31, &[b'x'; 216]), Source::Own),
            (v2(0x21, 0x00, b""), Source::Own),
            (v2(0x21, 0x00, &[7; 100]), Source::Own),
            (v2(0x20, 0x00, b""), Source::Own),
            (v2(0x20, 0x11, &v4), Source::Own),
            (v2(0x20, 0x77, &[0; BINARY - FIXED]), Source::Own),
        ] {
            let bytes = [&header[..], b"\x16\x03"].concat();
            let (read, left) = read_all(&bytes);
            assert_eq!((read.unwrap(), left), (source, &b"\x16\x03"[..]), "{header:?}");
            for cut in 0..header.len() {
                assert!(read_all(&header[..cut]).0.is_err(), "cut at {cut}");
            }
        }
        for header in [
            v2(0x11, 0x11, &v4),
            v2(0x31, 0x11, &v4),
            v2(0x22, 0x11, &v4),
            v2(0x21, 0x12, &v4),
            v2(0x21, 0x41, &v4),
            v2(0x21, 0x11, &v4[..11]),
            v2(0x21, 0x21, &v6[..35]),
            v2(0x21, 0x31, &[0; 215]),
        ] {
            let read = read_all(&header).0;
            assert!(matches!(read, Err(Error::Malformed { .. })), "{header:?} {read:?}");
        }
        let long = v2(0x20, 0, &[0; BINARY - FIXED + 1]);
        assert!(matches!(read_all(&long).0, Err(Error::Long { most: BINARY })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever comes, no more is read than a header may have.
        #[test]
        fn nothing_is_read_beyond_the_header(
            begin in prop_oneof![
                Just(Vec::new()),
                Just(PROXY.to_vec()),
                Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
                Just(SIGNATURE.to_vec()),
                Just([&SIGNATURE[..], &[0x21, 0x11]].concat()),
            ],
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = [begin, rest, vec![b'x'; 2 * BINARY]].concat();
            let (read, left) = read_all(&bytes);
            let used = bytes.len() - left.len();
            prop_assert!(used <= BINARY);
            if bytes.starts_with(PROXY) {
                prop_assert!(used <= LINE);
            }
            if let Err(Error::Read { .. }) = read {
                prop_assert!(false, "there was enough to read");
            }
        }

        /// Every address comes out as it went in, by either version.
        #[test]
        fn every_address_comes_through(address in any::<IpAddr>(), port in any::<u16>()) {
            let (family, code) = if address.is_ipv4() { ("TCP4", 0x11) } else { ("TCP6", 0x21) };
            let line = format!("PROXY {family} {address} {address} {port} {port}\r\n");
            prop_assert_eq!(read_all(line.as_bytes()).0.unwrap(), Source::Client(address.to_canonical()));
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            let payload = [&octets[..], &octets, &port.to_be_bytes(), &port.to_be_bytes()].concat();
            let header = v2(0x21, code, &payload);
            prop_assert_eq!(read_all(&header).0.unwrap(), Source::Client(address.to_canonical()));
        }
    }
}
