//! Places where a test ends us, and rules that a test bends to see whether anybody notices.
//!
//! Only a build with debug assertions has any of it: in a release every call here is nothing, and the
//! variables that name a point are read by nobody.

#[cfg(debug_assertions)]
use std::sync::Arc;
#[cfg(debug_assertions)]
use std::sync::atomic::AtomicU32;
#[cfg(debug_assertions)]
use std::sync::atomic::Ordering;

/// The points of one run.
#[derive(Debug, Clone, Default)]
pub struct Points {
    #[cfg(debug_assertions)]
    chosen: Option<Arc<Chosen>>,
}

#[cfg(debug_assertions)]
#[derive(Debug)]
struct Chosen {
    /// Where we end: the name of the point.
    end_at: String,
    /// How often it is passed before that.
    passes: AtomicU32,
    /// The rule that is bent.
    bend: String,
}

impl Points {
    /// The points that these variables choose: `PUSHBELL_POINT` is a name, with `:<n>` behind it if it is
    /// to be passed `n` times first; `PUSHBELL_BEND` is the name of a rule.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn of(point: Option<&str>, bend: Option<&str>) -> Self {
        if point.is_none() && bend.is_none() {
            return Self::default();
        }
        let point = point.unwrap_or_default();
        let (name, passes) = point.split_once(':').unwrap_or((point, "0"));
        let chosen = Chosen {
            end_at: name.to_owned(),
            passes: AtomicU32::new(passes.parse().unwrap_or_default()),
            bend: bend.unwrap_or_default().to_owned(),
        };
        Self { chosen: Some(Arc::new(chosen)) }
    }

    /// Ends us here as a kill would, if this is the point.
    #[cfg(debug_assertions)]
    pub fn reach(&self, point: &str) {
        if let Some(chosen) = self.chosen.as_ref().filter(|chosen| chosen.end_at == point)
            && chosen
                .passes
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_err()
        {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .ok();
        }
    }

    /// Nothing.
    #[cfg(not(debug_assertions))]
    #[inline(always)]
    pub fn reach(&self, _point: &str) {}

    /// Whether this rule is bent.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn bends(&self, rule: &str) -> bool {
        self.chosen.as_ref().is_some_and(|chosen| chosen.bend == rule)
    }

    /// No rule is.
    #[cfg(not(debug_assertions))]
    #[inline(always)]
    #[must_use]
    pub fn bends(&self, _rule: &str) -> bool {
        false
    }
}
