use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use tracing::warn;

/// The soft limit of open files is often 1,024 where the hard one is not. Says how many there may be,
/// unless there is no limit.
pub(super) fn raise() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let soft = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.maximum,
        Err(error) => {
            warn!(%error, "Could not raise the limit of open files; few connections will do");
            soft
        }
    }
}

/// How many connections there may be: each takes two descriptors, one to the client and one to the
/// registry, and some stay for everything else; where there are few of them, half.
pub(super) fn connections(wanted: usize, descriptors: Option<u64>) -> usize {
    const ELSE: u64 = 256;
    let enough = descriptors.map(|all| (all.saturating_sub(ELSE.min(all / 2)) / 2).max(1));
    enough.map_or(wanted, |enough| wanted.min(usize::try_from(enough).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        for (descriptors, expected) in [
            (None, 10_000),
            (Some(1 << 20), 10_000),
            (Some(1024), 384),
            (Some(256), 64),
            (Some(0), 1),
        ] {
            assert_eq!(connections(10_000, descriptors), expected, "{descriptors:?}");
        }
    }
}
