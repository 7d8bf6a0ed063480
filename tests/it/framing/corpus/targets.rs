//! Targets and hosts: H6, H7.

use super::Case;
use super::INDEX;
use super::PATH;
use super::length;
use super::passes;
use super::pushed;
use super::put;
use super::refused;
use super::seen;

pub(super) fn cases() -> Vec<Case> {
    let push = put(&length(), INDEX);
    let to = |target: &str| push.replacen(PATH, target, 1);
    let host = |lines: &str| push.replacen("Host: r\r\n", lines, 1);
    let mut cases = vec![
        passes("a target with its host", to(&format!("http://r{PATH}")), pushed()),
        passes("a target with its host in capitals", to(&format!("HTTP://R{PATH}")), pushed()),
        passes("a target with another scheme", to(&format!("https://r{PATH}")), pushed()),
        passes(
            "a target with a query",
            to(&format!("{PATH}?tag=b&x=%20|{{}}")),
            vec![seen("PUT", &format!("{PATH}?tag=b&x=%20|{{}}"), INDEX)],
        ),
        passes(
            "a query with a target in it",
            to(&format!("{PATH}?http://evil/+HTTP/1.1")),
            vec![seen("PUT", &format!("{PATH}?http://evil/+HTTP/1.1"), INDEX)],
        ),
        passes("a host with a port", host("Host: registry.example:5443\r\n"), pushed()),
        passes("a host of IPv6", host("Host: [::1]:5443\r\n"), pushed()),
    ];
    for (name, input) in [
        ("no host", host("")),
        (
            "no host but a target with one",
            to(&format!("http://r{PATH}")).replacen("Host: r\r\n", "", 1),
        ),
        ("two hosts", host("Host: r\r\nHost: evil\r\n")),
        ("the same host twice", host("Host: r\r\nHost: r\r\n")),
        ("a host of nothing", host("Host:\r\n")),
        ("a list of hosts", host("Host: r, evil\r\n")),
        ("a host with a path", host("Host: r/v2/\r\n")),
        ("a host with a query", host("Host: r?x\r\n")),
        ("a host with a fragment", host("Host: r#x\r\n")),
        ("a host with a user", host("Host: evil@r\r\n")),
        ("a host with a blank", host("Host: r evil\r\n")),
        ("a host with two ports", host("Host: r:80:90\r\n")),
        ("a host with a backslash", host("Host: r\\evil\r\n")),
        ("a host above ASCII", host("Host: r\u{e4}\r\n")),
        ("a host with an escape", host("Host: r%2f\r\n")),
        ("a host with a scheme", host("Host: http://r\r\n")),
        ("another host in the target", to(&format!("http://evil{PATH}"))),
        ("another port in the target", to(&format!("http://r:1{PATH}"))),
        ("a user in the target", to(&format!("http://evil@r{PATH}"))),
        ("a target of another protocol", to(&format!("ftp://r{PATH}"))),
        ("a target of a file", to(&format!("file://{PATH}"))),
        ("a target without a slash", to("v2/@@@@/manifests/a")),
        ("a target of an authority", to("r:5000")),
        ("an asterisk", to("*")),
        ("a backslash for the first slash", to("\\v2\\@@@@\\manifests\\a")),
        ("two slashes before the path", to(&format!("//r{PATH}"))),
        ("a push with a fragment", to(&format!("{PATH}#x"))),
        ("a push with a fragment in its query", to(&format!("{PATH}?x#y"))),
        ("a push to a parent", to("/v2/x/../@@@@/manifests/a")),
        ("a push to an escaped parent", to("/v2/x/%2e%2e/@@@@/manifests/a")),
        ("a push with an escaped slash", to("/v2/x%2f@@@@/manifests/a")),
        ("a push with an escaped percent", to("/v2/@@@@/%256danifests/a")),
        ("a push with a parameter", to("/v2/@@@@/manifests/a;x=1")),
        ("a push above ASCII", to("/v2/@@@@/manifests/\u{c3}\u{a4}")),
        ("a push with a broken escape", to("/v2/@@@@/manifests/%a")),
    ] {
        cases.push(refused(format!("target: {name}"), input));
    }
    cases
}
