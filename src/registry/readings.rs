//! Which paths could be a push, in anybody's reading of them.
//!
//! A write whose path two readers could take for different ones is refused (delivery-guarantees 8.2, rule 3),
//! because one of the readings may be a push that we would not see. A registry's listener serves more than
//! that: Harbor's API names a repository `a%252Fb`, Gitea's and Artifactory's have paths of every kind, and
//! a client that uses them would find them broken. So the rule ends where no reading is a push.
//!
//! A reader may take escapes out once, twice or never, take `\` for `/`, leave out what is behind a `;`, a
//! control character or a byte that is no ASCII (or take it for a `/`, as overlong UTF-8 has it), merge
//! slashes, resolve `.` and `..`, and overlook case, in any order. None of that makes a name of a path that
//! is not in it already: it shows names, it drops names, and it never changes their order. A manifest's path
//! has `v2` and `manifests` in it, an upload's has `v2`, `blobs` and `uploads`; where they are not to be found
//! in this order once all escapes are out, nobody finds them.

use super::route::leniently_decoded;

/// How often escapes are taken out: twice as often as anybody is known to do it.
const DECODINGS: usize = 4;

/// Where a registry may have its `v2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// At the beginning of the path, or behind names that a `..` or a `//` may take away.
    First,
    /// Behind any other names.
    Anywhere,
}

/// Whether some reader could take the path for that of a manifest or of an upload.
pub(super) fn could_push(path: &str, root: Root) -> bool {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..DECODINGS {
        let decoded = leniently_decoded(&bytes);
        if decoded.len() == bytes.len() {
            break;
        }
        bytes = decoded;
    }
    let foreign = |byte: &u8| byte.is_ascii_control() || !byte.is_ascii();
    if !bytes.iter().any(foreign) {
        return leads_to_a_push(&bytes, root);
    }
    let left_out: Vec<u8> = bytes.iter().copied().filter(|byte| !foreign(byte)).collect();
    bytes.iter_mut().filter(|byte| foreign(byte)).for_each(|byte| *byte = b'/');
    // Such a byte may be a dot as well.
    [bytes, left_out].iter().any(|bytes| leads_to_a_push(bytes, Root::Anywhere))
}

fn leads_to_a_push(path: &[u8], root: Root) -> bool {
    let mut names = path
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default());
    let is = |name: &[u8], word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    // What is before the first slash is no name, but behind two of them a host may be seen (RFC 3986 §4.2).
    names.next();
    let (mut stays, mut leaves) = (false, root == Root::Anywhere);
    let found = names.any(|name| {
        let found = is(name, "v2") && (leaves || !stays);
        leaves |= matches!(name, b"" | b"..");
        stays |= !matches!(name, b"" | b"." | b"..");
        found
    });
    let mut blobs = false;
    found
        && names.any(|name| {
            blobs |= is(name, "blobs");
            is(name, "manifests") || (blobs && is(name, "uploads"))
        })
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::registry::Ambiguous;
    use crate::registry::Route;

    #[test]
    fn what_nobody_takes_for_a_push_is_none() {
        for path in [
            "/v2/",
            "/v2",
            "//v2//",
            "/v2/app/tags/list",
            "/v2/a%252Fb/blobs/sha256:00",
            "/v2/app/uploads/blobs/x",
            "/service/token",
            "/c/login",
            "/api/v2.0/projects/p/repositories/a%252Fb/artifacts/sha256:00/tags/1%2F0",
            "/api/v2.0/projects/p/repositories/a%252Fmanifests/artifacts",
            "/api/v2.0/projects//p/../q;x",
            "/api/v2/manifests/a%252Fb",
            "/api/v1/packages/%C3%A4/generic/a//b",
            "/artifactory/api/storage/docker-local/app/v2/manifests/x",
        ] {
            assert!(!could_push(path, Root::First), "{path}");
        }
    }

    #[test]
    fn what_somebody_takes_for_a_push_may_be_one() {
        for path in [
            "/v2/app/manifests/a",
            "/v2/app/blobs/uploads/",
            "/%762/app/%256danifests/a",
            "/v2/app%2Fmanifests%2Fa",
            "/v2/app%25252fmanifests/a",
            "//v2/app/manifests/a",
            "/./v2/app/manifests/a",
            "//host/v2/app/manifests/a",
            "/http:%2f/host/v2/app/manifests/a",
            "/x/../v2/app/manifests/a",
            "/api/v2.0/..%2f%2e%2E/v2/app/blobs/uploads/",
            "/x%5c..%5cv2%5capp/manifests/a",
            "/x/..;y/v2/app/manifests/a",
            "/V2/app/Manifests/a",
            "/v2;x/app/manifests;y=1/a",
            "/v2%c0%afapp%c0%afmanifests/a",
            "/x/%c0%ae%c0%ae/v2/app/manifests/a",
            "/v2/app/mani%00fests/a",
            "/v2/app/manifests%00x/a",
        ] {
            assert!(could_push(path, Root::First), "{path}");
        }
        assert!(could_push("/artifactory/api/docker/x/v2//app/manifests/a", Root::Anywhere));
    }

    /// What a reader makes of a path, one step after the other.
    const STEPS: [fn(&str) -> String; 7] = [
        |path| String::from_utf8_lossy(&leniently_decoded(path.as_bytes())).into_owned(),
        |path| path.replace('\\', "/"),
        |path| path.split('/').map(|s| s.split(';').next().unwrap()).collect::<Vec<_>>().join("/"),
        |path| path.replace(|c: char| c.is_control(), ""),
        |path| path.split(char::is_control).next().unwrap().to_owned(),
        |path| {
            path.split('/').fold(String::new(), |done, name| {
                if name.is_empty() { done } else { done + "/" + name }
            })
        },
        |path| {
            let mut names = Vec::new();
            for name in path.split('/').skip(1) {
                match name {
                    "." => {}
                    ".." => drop(names.pop()),
                    name => names.push(name),
                }
            }
            format!("/{}", names.join("/"))
        },
    ];

    /// The route of a path in which nothing is an escape.
    fn plain(path: &str) -> Route {
        Route::of(&path.replace('%', "%25"))
    }

    #[test]
    fn no_reading_of_a_path_that_passes_is_another_push() {
        let names = [
            "v2",
            "app",
            "manifests",
            "blobs",
            "uploads",
            "..",
            ".",
            "",
            "%2e%2e",
            "..;x",
            "api",
            "v2%2fx",
            "x%2f..",
            "mani%66ests",
            "%2576%32",
            "x\\..",
            "manifests;y",
            "manifests%00",
            "V2",
        ];
        let texts = ["/", "\\", ";", "%", "%25", "%2f", "%252f", "%2e", "%5c", "%3b", "%00", "a"];
        let mut rng = Rng::with_seed(7);
        let (mut pushes, mut refused, mut passed, mut missed) = (0, 0, 0, 0);
        for _ in 0..12_000 {
            let mut path = match rng.u8(0..3) {
                0 => vec!["v2", "app", "manifests", "a"],
                1 => vec!["api", "..", "v2", "app", "manifests", "a"],
                _ => vec!["v2", "app", "blobs", "uploads", "x"],
            };
            for _ in 0..rng.usize(0..4) {
                path.insert(rng.usize(0..=path.len()), names[rng.usize(0..names.len())]);
            }
            if rng.u8(0..3) == 0 {
                path.remove(rng.usize(0..path.len()));
            }
            let mut path = format!("/{}", path.join("/"));
            if rng.bool() {
                path.insert_str(rng.usize(1..=path.len()), texts[rng.usize(0..texts.len())]);
            }
            let readings = (0..20).map(|_| {
                let steps = 0..rng.usize(0..7);
                steps.fold(path.clone(), |path, _| STEPS[rng.usize(0..STEPS.len())](&path))
            });
            let found: Vec<Route> = readings
                .map(|reading| plain(&reading))
                .filter(|route| matches!(route, Route::Manifest { .. } | Route::Upload { .. }))
                .collect();
            let possible = could_push(&path, Root::First);
            assert!(possible || found.is_empty(), "{path:?} may be {found:?}");
            match Ambiguous::check(&path) {
                Err(_) if possible => refused += 1,
                Err(_) => passed += 1,
                // The id of an upload is the registry's own, and nobody else's to read.
                Ok(()) if path.contains("uploads") => {}
                Ok(()) => {
                    let seen = Route::of(&path);
                    assert!(
                        found.iter().all(|other| *other == seen),
                        "{path:?}: {found:?} beside {seen:?}"
                    );
                }
            }
            pushes += usize::from(!found.is_empty());
            // The control: who looks for the words as they are.
            let raw = path.starts_with("/v2/")
                && (path.contains("/manifests/") || path.contains("/uploads/"));
            missed += usize::from(!found.is_empty() && !raw);
        }
        let counts = [pushes, refused, passed, missed];
        assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
    }
}
