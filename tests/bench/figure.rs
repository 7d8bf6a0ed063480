//! What a measurement comes to, and what it is held against.

use crate::peers::OTHER;
use crate::peers::OURS;

/// One thing that was measured for several.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) better: Better,
    /// Digits behind the point.
    pub(crate) digits: usize,
    /// Who is not here was not measured.
    pub(crate) values: Vec<Value>,
    pub(crate) target: Target,
}

/// What one of them came to.
pub(crate) struct Value {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// What it was made of, in the order of time; `NaN` where there was nothing. Empty if it is no median.
    pub(crate) samples: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}

/// What the design asks for: at most this, or at least, where more is better.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    None,
    /// So many times the best peer.
    TimesBest(f64),
    /// So many times the best of the settings of this peer.
    TimesOf(&'static str, f64),
    /// So many times direct.
    TimesDirect(f64),
    /// This.
    Fixed(f64),
    /// Nothing, and there is nothing to compare it with either.
    Alone,
}

/// Pushbell's value beside another.
pub(crate) struct Ratio {
    pub(crate) times: f64,
    pub(crate) whom: &'static str,
}

/// One build beside another.
pub(crate) struct Change {
    /// The middle one of the rounds' ratios, if there are rounds; else the ratio.
    pub(crate) ratio: f64,
    /// The quartiles of the rounds' ratios.
    pub(crate) half: Option<(f64, f64)>,
    /// In how many rounds ours was better, and of how many.
    pub(crate) won: Option<(usize, usize)>,
}

/// The name of nobody in between.
pub(crate) const DIRECT: &str = "direct";

/// The middle one; of an even number the mean of both in the middle.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    let sorted = sorted(samples);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + sorted.get(middle.checked_sub(1)?)?) / 2.0)
}

/// The one that so many per cent do not exceed.
pub(crate) fn percentile(samples: &[f64], percent: usize) -> Option<f64> {
    let sorted = sorted(samples);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = samples.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

impl Value {
    pub(crate) fn one(name: &'static str, value: f64) -> Self {
        Self { name, value, samples: Vec::new() }
    }

    /// None if there is no sample.
    pub(crate) fn median(name: &'static str, samples: &[f64]) -> Option<Self> {
        Some(Self { name, value: median(samples)?, samples: samples.to_vec() })
    }
}

impl Figure {
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.name == name)
    }

    /// The best of the others.
    pub(crate) fn best_peer(&self) -> Option<&Value> {
        self.best("")
    }

    /// The best of the others whose name begins so.
    fn best(&self, begin: &str) -> Option<&Value> {
        let peers = self.values.iter().filter(|value| {
            ![DIRECT, OURS, OTHER].contains(&value.name) && value.name.starts_with(begin)
        });
        match self.better {
            Better::Less => peers.min_by(|a, b| a.value.total_cmp(&b.value)),
            Better::More => peers.max_by(|a, b| a.value.total_cmp(&b.value)),
        }
    }

    /// Pushbell's value as a multiple of what it is to be compared with.
    pub(crate) fn ratio(&self) -> Option<Ratio> {
        let (whom, value) = match self.target {
            Target::None | Target::TimesBest(_) => {
                self.best_peer().map(|best| (best.name, best.value))?
            }
            Target::TimesOf(name, _) => self.best(name).map(|best| (best.name, best.value))?,
            Target::TimesDirect(_) => (DIRECT, self.value(DIRECT)?.value),
            Target::Fixed(limit) => ("target", limit),
            Target::Alone => return None,
        };
        let ours = self.value(OURS)?.value;
        (value > 0.0).then(|| Ratio { times: ours / value, whom })
    }

    /// Whether the target is met; none where there is none, or nothing to tell by.
    pub(crate) fn met(&self) -> Option<bool> {
        let (wanted, is) = match self.target {
            Target::None | Target::Alone => return None,
            Target::TimesBest(times) | Target::TimesOf(_, times) | Target::TimesDirect(times) => {
                (times, self.ratio()?.times)
            }
            Target::Fixed(limit) => (limit, self.value(OURS)?.value),
        };
        Some(match self.better {
            Better::Less => is <= wanted,
            Better::More => is >= wanted,
        })
    }

    /// Our build beside the other.
    pub(crate) fn change(&self) -> Option<Change> {
        let (ours, other) = (self.value(OURS)?, self.value(OTHER)?);
        let pairs = ours.samples.iter().zip(&other.samples);
        let ratios: Vec<f64> =
            pairs.map(|(ours, other)| ours / other).filter(|ratio| ratio.is_finite()).collect();
        let won = ratios.iter().filter(|&&ratio| match self.better {
            Better::Less => ratio < 1.0,
            Better::More => ratio > 1.0,
        });
        Some(Change {
            ratio: median(&ratios).unwrap_or(ours.value / other.value),
            half: percentile(&ratios, 25).zip(percentile(&ratios, 75)),
            won: (!ratios.is_empty()).then(|| (won.count(), ratios.len())),
        })
    }

    /// The target in words.
    pub(crate) fn wanted(&self) -> Option<String> {
        let sign = match self.better {
            Better::Less => '≤',
            Better::More => '≥',
        };
        Some(match self.target {
            Target::None | Target::Alone => return None,
            Target::TimesBest(times) => format!("{sign} {times} × best"),
            Target::TimesOf(name, times) => format!("{sign} {times} × {name}"),
            Target::TimesDirect(times) => format!("{sign} {times} × direct"),
            Target::Fixed(value) => format!("{sign} {value:.*}", self.digits),
        })
    }

    /// As it is shown.
    pub(crate) fn shown(&self, value: &Value) -> String {
        format!("{:.*}", self.digits, value.value)
    }
}
