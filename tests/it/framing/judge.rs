//! What goes out, judged by others: AWS's classification of requests by how differently they can be read,
//! and the rules of what may never pass.

use http_desync_guardian::RequestSafetyTier;
use http_desync_guardian::request_analyzer::HttpRequestData;

/// What belongs to one hop, what a client may not choose, and what we frame ourselves.
const NEVER: [&str; 18] = [
    "connection",
    "expect",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "x-http-method",
    "x-http-method-override",
    "x-jfrog-override-base-url",
    "x-method-override",
    "x-original-url",
    "x-own",
    "x-real-ip",
];

/// How differently a head can be read, with the reason.
pub(super) fn tier(request: &[u8]) -> (RequestSafetyTier, String) {
    let end = request.windows(4).position(|w| w == b"\r\n\r\n").map_or(request.len(), |at| at + 4);
    let judged = HttpRequestData::analyze_raw_request(&request[..end]);
    (judged.tier, format!("{:?} {:?}", judged.reason, judged.message))
}

/// Everything that should not be in a head that goes out; `own` says whether the input had `X-Own` where
/// `Connection` does not name it.
pub(super) fn unclean(head: &[u8], own: bool) -> Vec<String> {
    let text: String = head.iter().map(|b| char::from(*b)).collect();
    let mut found = Vec::new();
    let (tier, why) = tier(head);
    if tier != RequestSafetyTier::Compliant {
        found.push(format!("judged {tier:?}: {why}"));
    }
    let names: Vec<_> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    let count = |name: &str| names.iter().filter(|n| *n == name).count();
    if count("content-length") + count("transfer-encoding") > 1 || count("host") != 1 {
        found.push("framed more than once".to_owned());
    }
    for name in names.iter().filter(|n| n.contains('_') || NEVER.contains(&n.as_str())) {
        if !(own && name == "x-own") {
            found.push(format!("passed on {name}"));
        }
    }
    for ours in ["x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: https\r\n"] {
        let name = ours.split(':').next().unwrap();
        if count(name) != 1 || !text.to_ascii_lowercase().contains(ours) {
            found.push(format!("{name} is not ours"));
        }
    }
    found
}
