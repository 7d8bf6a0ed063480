use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

/// A wire between the sidecar and its registry that can be cut at the worst moment of a write.
///
/// It knows just enough HTTP/1.1 to tell a manifest's `PUT` or `DELETE` from the rest, which always passes.
pub(crate) struct Relay {
    address: SocketAddr,
    cut: Arc<Mutex<Option<Cut>>>,
    reached: Mutex<mpsc::Receiver<()>>,
}

/// Where the next write stops. The connection stays until the sidecar closes it, or is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The registry gets a part of the request only.
    Request,
    /// The registry gets all of it, and its answer goes nowhere.
    Answer,
}

impl Relay {
    /// To a registry at `host:port`.
    pub(crate) fn to(registry: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cut: Arc<Mutex<Option<Cut>>> = Arc::default();
        let (reach, reached) = mpsc::channel();
        let (registry, cuts) = (registry.to_owned(), Arc::clone(&cut));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (cuts, reach) = (Arc::clone(&cuts), reach.clone());
                let Ok(registry) = TcpStream::connect(&registry) else {
                    continue;
                };
                thread::spawn(move || connection(stream, registry, &cuts, &reach));
            }
        });
        Self { address, cut, reached: Mutex::new(reached) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the next write there.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.cut.lock().unwrap() = Some(cut);
    }

    /// Waits until a write has stopped; then every other one passes again.
    pub(crate) fn wait(&self) {
        self.reached.lock().unwrap().recv().unwrap();
    }
}

/// One connection of the sidecar, and its own to the registry.
fn connection(
    mut sidecar: TcpStream,
    mut registry: TcpStream,
    cut: &Mutex<Option<Cut>>,
    reach: &mpsc::Sender<()>,
) {
    let (mut answers, mut to) = (registry.try_clone().unwrap(), sidecar.try_clone().unwrap());
    let held = Arc::new(Mutex::new(false));
    let holds = Arc::clone(&held);
    let reached = reach.clone();
    thread::spawn(move || {
        let mut buffer = [0; 1 << 14];
        while let Ok(length @ 1..) = answers.read(&mut buffer) {
            if *holds.lock().unwrap() {
                reached.send(()).ok();
                return;
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Both).ok();
    });
    while let Some((head, body)) = request(&mut sidecar) {
        let writes = head.starts_with(b"PUT /v2/") || head.starts_with(b"DELETE /v2/");
        let manifest = head.windows(11).any(|window| window == b"/manifests/");
        let cut = if writes && manifest { cut.lock().unwrap().take() } else { None };
        let all = [head.clone(), body.clone()].concat();
        let part = match cut {
            Some(Cut::Request) if body.is_empty() => &all[..all.len() / 2],
            Some(Cut::Request) => &all[..head.len() + body.len() / 2],
            Some(Cut::Answer) | None => &all[..],
        };
        *held.lock().unwrap() = cut == Some(Cut::Answer);
        if registry.write_all(part).is_err() {
            break;
        }
        if cut == Some(Cut::Request) {
            reach.send(()).ok();
        }
    }
    registry.shutdown(Shutdown::Both).ok();
}

/// The next request, whole.
fn request(stream: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}
