use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// A registry that does what a test says, also what no registry should do.
///
/// Each connection runs the script on a thread of its own, which ends when its connection does.
pub(crate) struct Scripted {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

/// One connection to it.
pub(crate) struct Conversation {
    stream: TcpStream,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(crate) fn start(script: impl Fn(Conversation) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (script, seen) = (Arc::new(script), Arc::clone(&heads));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let conversation = Conversation { stream, heads: Arc::clone(&seen) };
                let script = Arc::clone(&script);
                thread::spawn(move || script(conversation));
            }
        });
        Self { address, heads }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every head it read so far, of all connections.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Conversation {
    /// The next head, or nothing where the connection ended.
    pub(crate) fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        self.heads.lock().unwrap().push(head.clone());
        Some(head)
    }

    /// So many bytes of a body, or as many as there were.
    pub(crate) fn body(&mut self, length: usize) -> Vec<u8> {
        let mut body = Vec::new();
        let limit = u64::try_from(length).unwrap();
        (&mut self.stream).take(limit).read_to_end(&mut body).ok();
        body
    }

    /// Reads so many bytes of a body and keeps none. Says how many there were.
    pub(crate) fn swallow(&mut self, length: usize) -> usize {
        let mut piece = vec![0; 256 << 10];
        let mut swallowed = 0;
        while swallowed < length {
            let wanted = piece.len().min(length - swallowed);
            match self.stream.read(&mut piece[..wanted]) {
                Ok(read) if read > 0 => swallowed += read,
                _ => break,
            }
        }
        swallowed
    }

    /// Says no more, reads no more, and leaves the connection as it is.
    pub(crate) fn hear_no_more(&self) -> ! {
        self.stream.shutdown(Shutdown::Write).ok();
        loop {
            thread::park();
        }
    }

    /// Leaves at once, which takes back what was sent to it and not read.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Says something; that nobody listens any more is no failure.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.says(bytes);
    }

    /// The same, and whether somebody took it.
    pub(crate) fn says(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }
}
