use crate::support::Dialer;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::sha256;

use super::by_case;
use super::corpus;
use super::filled;
use super::frames::End;
use super::judge;
use super::parsers::recorded;
use super::recorder::Recorder;
use super::repository;

#[test]
fn a_stream_is_read_as_strictly_as_a_connection() {
    let work = Workdir::new();
    let recorder = Recorder::start();
    let mut sidecar = Sidecar::before(&work, &format!("http://{}", recorder.address()), "");
    let dialer = Dialer::speaking(&sidecar, rustls::DEFAULT_VERSIONS, &[b"h2"]);
    let mut found = Vec::new();
    let mut expected = Vec::new();
    for (number, case) in corpus::streams(repository).into_iter().enumerate() {
        let end = case.stream.exchange(&mut dialer.dial());
        let well = match end {
            End::Answer(status @ 400..500) => case.expected.is_empty() && status != 404,
            End::Answer(status) => !case.expected.is_empty() && status < 300,
            End::Reset(_) | End::GoAway(_) | End::Closed => case.expected.is_empty(),
        };
        if !well {
            found.push(format!("{}: ended by {end:?}", case.name));
        }
        expected.push((
            case.name,
            case.expected.into_iter().map(move |mut seen| {
                seen.path = filled(&seen.path, number);
                seen
            }),
        ));
    }
    sidecar.stop();
    let mut understood = by_case(recorded(&recorder), expected.len());
    let strays = understood.pop().unwrap();
    assert!(strays.is_empty(), "{strays:?}");
    for ((name, expected), understood) in expected.into_iter().zip(&understood) {
        let expected: Vec<_> = expected
            .map(|seen| (seen.method, seen.path, Some(sha256(seen.body.as_bytes()))))
            .collect();
        let understood: Vec<_> =
            understood.iter().map(|u| (u.method.clone(), u.path.clone(), u.body.clone())).collect();
        if expected != understood {
            found.push(format!("{name}: understood {understood:?} instead of {expected:?}"));
        }
    }
    for request in recorder.requests().iter().filter(|request| request.method != "HEAD") {
        found.extend(judge::unclean(&request.head, false));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
