//! Several requests in one go: H13, H16, H17.

use super::Case;
use super::END;
use super::EVIL;
use super::INDEX;
use super::PATH;
use super::Seen;
use super::answered;
use super::chunked;
use super::evil;
use super::get;
use super::length;
use super::passes;
use super::pushed;
use super::put;
use super::read;
use super::refused;
use super::seen;

pub(super) fn cases() -> Vec<Case> {
    let push = put(&length(), INDEX);
    let chunks = put("Transfer-Encoding: chunked\r\n", &chunked());
    let both: Vec<Seen> = [pushed(), read()].concat();
    vec![
        passes("a push and a read", format!("{push}{}", get("", "")), both.clone()),
        passes("a push in chunks and a read", format!("{chunks}{}", get("", "")), both),
        passes(
            "three pushes",
            format!("{push}{chunks}{push}"),
            [pushed(), pushed(), pushed()].concat(),
        ),
        passes(
            "an empty line between requests",
            format!("{push}\r\n{}", get("", "")),
            [pushed(), read()].concat(),
        ),
        passes(
            "a push and a delete",
            format!("{push}{}", get("", "").replacen("GET", "DELETE", 1)),
            [pushed(), vec![seen("DELETE", PATH, "")]].concat(),
        ),
        passes("requests one behind the other", get("", "").repeat(20), vec![read(); 20].concat()),
        refused(
            "a broken request behind a good body that is refused",
            put("Content-Length: 3\r\nTransfer-Encoding: x\r\n", &format!("0\r\n{}", evil())),
        ),
        answered(
            405,
            "a request behind one that is refused for its method",
            format!("TRACE {PATH} HTTP/1.1\r\nHost: r\r\n\r\n{}", evil()),
        ),
        answered(
            417,
            "a request behind one that is refused for what it expects",
            format!("{}{}", put(&format!("Expect: x\r\n{}", length()), INDEX), evil()),
        ),
        refused(
            "a request behind one that is refused for its path",
            format!("{}{}", push.replacen(PATH, "/v2/x/../@@@@/manifests/a", 1), evil()),
        ),
        refused(
            "a request behind a read with a body",
            format!("{}{}", get(&length(), INDEX), evil()),
        ),
        passes(
            "a body with the words of a request",
            put(
                "Transfer-Encoding: chunked\r\n",
                &format!(
                    "{:x}\r\nGET {EVIL} HTTP/1.1\r\nHost: r\r\n\r\n\r\n0\r\n\r\n",
                    format!("GET {EVIL} HTTP/1.1\r\nHost: r\r\n\r\n").len()
                ),
            ),
            vec![seen("PUT", PATH, &format!("GET {EVIL} HTTP/1.1\r\nHost: r\r\n\r\n"))],
        ),
        passes(
            "an upload whose body is a request",
            format!(
                "PATCH /v2/@@@@/blobs/uploads/1 HTTP/1.1\r\nHost: r\r\nContent-Length: {}\r\n\r\n{}",
                evil().len(),
                evil()
            ),
            vec![seen("PATCH", "/v2/@@@@/blobs/uploads/1", &evil())],
        ),
        passes(
            "a read twice and its end",
            format!("GET {END} HTTP/1.1\r\nHost: r\r\n\r\n"),
            vec![seen("GET", END, "")],
        ),
    ]
}
