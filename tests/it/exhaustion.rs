//! Out of descriptors we neither spin nor hang, and are back when there are some again.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;

use crate::support::Curl;
use crate::support::Registry;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::until;

#[test]
fn out_of_descriptors_we_wait_and_come_back() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let sidecar = Sidecar::before(&work, &registry.url(), "limits: { idle: 60s }\n");
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.get("/v2/").status, 200);
    // As if the limit had always been so low that connections could use all of it up.
    sidecar.limit_descriptors(256);
    let address = sidecar.address("registry");
    let mut crowd: Vec<TcpStream> =
        (0..400).map(|_| TcpStream::connect(address).unwrap()).collect();
    sidecar.wait_for_log("that there are none left", &[("level", "WARN")]);
    until("the first of those who find no room to be told so", || {
        crowd.iter_mut().find_map(|stream| {
            stream.set_nonblocking(true).unwrap();
            let gone = match stream.read(&mut [0]) {
                Ok(read) => read == 0,
                Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            };
            gone.then_some(())
        })
    });
    let (cpu, began) = (sidecar.cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let share = (sidecar.cpu() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    println!("{:.1} % of a core while there are none", share * 100.0);
    // Not optimized, and with the crowd's connections being closed one by one.
    let most = if cfg!(debug_assertions) { 0.10 } else { 0.05 };
    assert!(share <= most, "{:.1} % of a core", share * 100.0);
    let lines = sidecar.printed().matches("Could not accept").count();
    assert!(lines <= 2, "{lines} lines for one thing");
    drop(crowd);
    let began = Instant::now();
    until("the next request to be answered", || (curl.get("/v2/").status == 200).then_some(()));
    println!("back after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn few_descriptors_serve_few_clients_at_a_time() {
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let mut sidecar = Sidecar::with_descriptors(&work, &registry.url(), 256);
    let line = sidecar.wait_for_log("how many", &[("level", "WARN"), ("descriptors", "256")]);
    assert!(line.to_string().contains("\"connections\":64"), "{line}");
    let curl = Curl::through(&work, &sidecar);
    let address = sidecar.address("registry");
    let crowd: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(address).unwrap()).collect();
    drop(crowd);
    let began = Instant::now();
    assert_eq!(curl.get("/v2/").status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(!sidecar.printed().contains("Could not accept"), "there is always room for one more");
    sidecar.stop();
}
