mod handshake;
mod load;
mod mint;
mod reload;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use time::Duration;
use time::OffsetDateTime;

use super::*;

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn ca(folder: &TempDir, made_for: &[&str]) -> LocalCa {
    LocalCa::open_or_create(folder.path(), &names(made_for), now()).unwrap().0
}

fn ca_in(folder: &TempDir, name: &str, made_for: &[&str]) -> LocalCa {
    LocalCa::open_or_create(&folder.path().join(name), &names(made_for), now()).unwrap().0
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn trusting(trust: &Trust, alpn: &[&[u8]]) -> Arc<rustls::ClientConfig> {
    ClientTls::new(trust, None, alpn).unwrap().current().unwrap()
}

/// What the client found wrong, or the certificate that it was content with.
fn shake_hands(
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    host: &str,
) -> Result<Vec<u8>, rustls::Error> {
    let client = converse(server, client, host)?;
    Ok(client.peer_certificates().unwrap()[0].to_vec())
}

/// The client once both sides have said all they have to say before any data, tickets included.
fn converse(
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    host: &str,
) -> Result<rustls::ClientConnection, rustls::Error> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(client, name)?;
    let mut server = rustls::ServerConnection::new(server)?;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(client)
}

fn untrusted(error: &rustls::Error) -> Untrusted {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        panic!("{error}");
    };
    other.0.downcast_ref::<Untrusted>().unwrap().clone()
}

fn pair(
    folder: &TempDir,
    certificate: impl AsRef<[u8]>,
    key: impl AsRef<[u8]>,
) -> (PathBuf, PathBuf) {
    let paths = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    fs::write(&paths.0, certificate).unwrap();
    fs::write(&paths.1, key).unwrap();
    fs::set_permissions(&paths.1, fs::Permissions::from_mode(0o600)).unwrap();
    paths
}
